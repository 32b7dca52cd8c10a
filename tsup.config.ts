import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { type BuildOptions, build, type Plugin, transform } from 'esbuild'
import { type GetModuleInfo, type Plugin as RollupPlugin, rollup } from 'rollup'
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

/** A module of Node that few commands need, though many of our modules name it: loaded when something of it is used. */
const later: Plugin = {
  name: 'later',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^node:net$/ }, ({ path: module, namespace }) =>
      namespace === 'later' ? { path: module, external: true } : { path: module, namespace: 'later' },
    )
    onLoad({ filter: /.*/, namespace: 'later' }, async ({ path: module }) => {
      const names = Object.keys(await import(module)).filter((name) => name !== 'default')
      const members = names.map((name) => `get ${name}() { return require('${module}').${name} }`)
      return { contents: `module.exports = { ${members.join(', ')} }` }
    })
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
    plugins: [queues, later],
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
  // For a shell the second line starts Node, for Node it says nothing. Without `--` Node 20 takes an --env-file of ours for
  // one of its own, and NODE_OPTIONS in it, which are the container's.
  const second = `':' //; exec node -- "$0" "$@"\n`
  const starter = { ...common, entryPoints: ['lib/cli/start.ts'] }
  const asScript = { ...script, banner: { js: `${second}${script.banner?.js}` } }
  await build({ ...starter, ...asScript, outfile: 'dist/cli.cjs', define: { ...named, 'import.meta.url': ADDRESS } })
  await build({ ...starter, format: 'esm', banner: { js: second }, outfile: 'dist/cli.js', define: named })
}

const sources: RollupPlugin = {
  name: 'sources',
  resolveId: (source, importer) =>
    source.startsWith('.') && importer !== undefined
      ? path.resolve(path.dirname(importer), source.replace(/\.js$/, '.ts'))
      : { id: source, external: importer !== undefined },
  transform: (text, id) =>
    transform(text, { loader: 'ts', target: 'node20', sourcefile: id, sourcemap: true, minifySyntax: true, define }),
  resolveImportMeta: (_, { format }) =>
    format === 'cjs' ? "require('node:url').pathToFileURL(__filename).href" : undefined,
}

/** What users import is that of the library itself: there is one list of containers, and one of networks. */
const faces: RollupPlugin = {
  name: 'faces',
  resolveId: (source, importer) =>
    /^\.\.\/[a-z]+\.js$/.test(source) && !source.endsWith('/errors.js') && importer?.includes('/lib/engine/')
      ? { id: path.resolve('lib/index'), external: true }
      : undefined,
}

/** What is loaded with the entry, and not later. */
function atOnce(entry: string, moduleOf: GetModuleInfo): Set<string> {
  const found = new Set([entry])
  for (const id of found) for (const imported of moduleOf(id)?.importedIds ?? []) found.add(imported)
  return found
}

/**
 * The library: one file of all that is loaded with it, whose parts would each take longer to find than to compile (and a
 * descriptor, all at a time), and those of what is loaded when it is needed.
 */
async function bundleLibrary(): Promise<void> {
  const entry = path.resolve('lib/index.ts')
  const bundle = await rollup({ input: entry, plugins: [sources], treeshake: { moduleSideEffects: 'no-external' } })
  let first: Set<string> | undefined
  for (const [format, extension] of [
    ['es', 'js'],
    ['cjs', 'cjs'],
  ] as const)
    await bundle.write({
      dir: 'dist',
      format,
      sourcemap: true,
      entryFileNames: `[name].${extension}`,
      chunkFileNames: `[name]-[hash].${extension}`,
      manualChunks(id, { getModuleInfo }) {
        first ??= atOnce(entry, getModuleInfo)
        return first.has(id) ? 'index' : undefined
      },
    })
  await bundle.close()
  await bundleEngine()
  const alone = { layers: 'lib/layer/worker.ts', 'build-files': 'lib/build/files/thread.ts' }
  await build({ ...common, format: 'esm', entryPoints: alone, outdir: 'dist', packages: 'external', define })
}

/** `caisson/engine`, beside the library that it stands on. */
async function bundleEngine(): Promise<void> {
  const entry = path.resolve('lib/engine/serve.ts')
  const bundle = await rollup({ input: entry, plugins: [faces, sources], treeshake: { moduleSideEffects: false } })
  for (const [format, extension] of [
    ['es', 'js'],
    ['cjs', 'cjs'],
  ] as const)
    await bundle.write({
      file: `dist/engine.${extension}`,
      format,
      sourcemap: true,
      inlineDynamicImports: true,
      paths: { [path.resolve('lib/index')]: `./index.${extension}` },
    })
  await bundle.close()
}

export default defineConfig({
  // The types, and what comes of this one file alone, which is replaced.
  entry: { index: 'lib/index.ts', engine: 'lib/engine/serve.ts' },
  bundle: false,
  format: ['esm', 'cjs'],
  target: 'node20',
  dts: { entry: { index: 'lib/index.ts', engine: 'lib/engine/serve.ts' } },
  clean: true,
  async onSuccess() {
    await bundleLibrary()
    await bundleProgram()
  },
})
