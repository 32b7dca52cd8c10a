import { defineConfig } from 'tsup'

export default defineConfig({
  entry: { index: 'lib/index.ts', cli: 'lib/cli/main.ts' },
  format: ['esm', 'cjs'],
  target: 'node20',
  dts: { entry: { index: 'lib/index.ts' } },
  sourcemap: true,
  splitting: true,
  clean: true,
  // Gives import.meta.url to the CommonJS build.
  shims: true,
})
