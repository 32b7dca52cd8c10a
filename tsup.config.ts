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

export default defineConfig({
  entry: {
    index: 'lib/index.ts',
    cli: 'lib/cli/main.ts',
    layers: 'lib/layer/worker.ts',
    'build-files': 'lib/build/files/thread.ts',
  },
  format: ['esm', 'cjs'],
  target: 'node20',
  dts: { entry: { index: 'lib/index.ts' } },
  sourcemap: true,
  splitting: true,
  define: { CAISSON_DEFAULT_FILTERS: JSON.stringify(defaultFilters()) },
  clean: true,
  // Gives import.meta.url to the CommonJS build.
  shims: true,
})
