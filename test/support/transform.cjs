/** TypeScript and ES modules to CommonJS for jest, with the esbuild that tsup brings. */
const { createHash } = require('node:crypto')
const { transformSync, version } = require('esbuild')

module.exports = {
  process(source, filename) {
    const { code, map } = transformSync(source, {
      loader: filename.endsWith('.ts') ? 'ts' : 'js',
      format: 'cjs',
      target: 'node20',
      // jest has no modules to give to import().
      supported: { 'dynamic-import': false },
      sourcefile: filename,
      sourcemap: 'external',
      define: { 'import.meta.url': '__importMetaUrl', 'import.meta.dirname': '__dirname' },
      banner: 'const __importMetaUrl = require("node:url").pathToFileURL(__filename).href;',
    })
    return { code, map }
  },
  getCacheKey(source, filename) {
    return createHash('sha256').update(`${version} 2`).update(filename).update(source).digest('hex')
  },
}
