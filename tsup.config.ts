import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { type BuildOptions, build, type Plugin } from 'esbuild'
import { defineConfig } from 'tsup'
import { compileFilter } from './lib/seccomp/compile.js'
import { defaultProfile } from './lib/seccomp/default.js'
import { DEFAULT_CAPABILITIES } from './lib/spec/capabilities.js'

/** The seccomp filters that nearly every container has are compiled here, not when the first one starts. */
function defaultFilters(): Record<string, string> {
  const filterFor = (arch: 'x64' | 'arm64') => {
    const filter = compileFilter(defaultProfile(), { arch, capabilities: DEFAULT_CAPABILITIES })
    return Buffer.from(filter).toString('base64')
  }
  return { x64: filterFor('x64'), arm64: filterFor('arm64') }
}

const define = { CAISSON_DEFAULT_FILTERS: JSON.stringify(defaultFilters()) }

/** A required ES module is the namespace, and not what it exports by default. */
const queues: Plugin = {
  name: 'p-queue',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^p-queue$/ }, ({ namespace }) =>
      namespace === 'queue' ? { path: 'p-queue', external: true } : { path: 'p-queue', namespace: 'queue' },
    )
    onLoad({ filter: /.*/, namespace: 'queue' }, () => ({ contents: "module.exports = require('p-queue').default" }))
  },
}

const ADDRESS = 'moduleAddress'
const common: BuildOptions = {
  bundle: true,
  platform: 'node',
  target: 'node20',
  minifySyntax: true,
  minifyWhitespace: true,
  logLevel: 'warning',
}
/** Gives import.meta.url to scripts. */
const script: BuildOptions = {
  format: 'cjs',
  banner: { js: `const ${ADDRESS}=require('node:url').pathToFileURL(__filename).href;` },
}

/** The command line as one script, and what starts it and can have it compiled from what was kept of the last time. */
async function bundleProgram(): Promise<void> {
  await build({
    ...common,
    ...script,
    entryPoints: ['lib/cli/main.ts'],
    outfile: 'dist/program.cjs',
    packages: 'external',
    plugins: [queues],
    // Code from a cache cannot import, but it can require modules of either kind.
    supported: { 'dynamic-import': false },
    define: { ...define, 'import.meta.url': ADDRESS },
    // A third less to read at each start. Errors tell where they come from by stage and cause.
    minifyIdentifiers: true,
    banner: { js: `(function(require,__filename){${script.banner?.js}` },
    footer: { js: '})' },
  })
  const program = createHash('sha256').update(readFileSync('dist/program.cjs')).digest('hex')
  const named = { CAISSON_PROGRAM: JSON.stringify(program) }
  const starter = { ...common, entryPoints: ['lib/cli/start.ts'] }
  await build({ ...starter, ...script, outfile: 'dist/cli.cjs', define: { ...named, 'import.meta.url': ADDRESS } })
  await build({ ...starter, format: 'esm', outfile: 'dist/cli.js', define: named })
}

export default defineConfig({
  entry: {
    index: 'lib/index.ts',
    layers: 'lib/layer/worker.ts',
    'build-files': 'lib/build/files/thread.ts',
  },
  format: ['esm', 'cjs'],
  target: 'node20',
  dts: { entry: { index: 'lib/index.ts' } },
  sourcemap: true,
  splitting: true,
  define,
  clean: true,
  // Gives import.meta.url to the CommonJS build.
  shims: true,
  onSuccess: bundleProgram,
})
