// Images to measure with.
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { closeSync, existsSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs'
import path from 'node:path'

/** A Debian 12 root as an archive, made once for the machine. */
export function debianArchive(cache) {
  const file = path.join(cache, 'debian-12.tar')
  if (!existsSync(file)) {
    mkdirSync(cache, { recursive: true })
    execFileSync('mmdebstrap', ['--variant=minbase', '--quiet', 'bookworm', file], { stdio: 'inherit' })
  }
  return file
}

/** A compressed archive of many small files, as a layer with node_modules has them. */
export function manyFiles(directory, entries) {
  const root = path.join(directory, `files-${entries}`)
  const perDirectory = 40
  for (let i = 0; i < entries; i += perDirectory) {
    const at = path.join(root, `package-${i}`, 'lib')
    mkdirSync(at, { recursive: true })
    for (let k = 0; k < perDirectory - 2; k++)
      writeFileSync(
        path.join(at, `file-${k}.js`),
        `exports.value = ${JSON.stringify(randomBytes(1 + (k % 7) * 300).toString('hex'))}\n`,
      )
  }
  const file = `${root}.tar.gz`
  execFileSync('tar', ['-C', root, '-czf', file, '.'])
  execFileSync('rm', ['-rf', root])
  return file
}

/** A plain archive of one file of that many bytes that nothing can compress. */
export function largeArchive(directory, bytes) {
  const root = path.join(directory, 'large')
  mkdirSync(root)
  const fd = openSync(path.join(root, 'blob'), 'w')
  const chunk = randomBytes(16 << 20)
  for (let at = 0; at < bytes; at += chunk.length) writeSync(fd, chunk, 0, Math.min(chunk.length, bytes - at))
  closeSync(fd)
  const file = path.join(directory, 'large.tar')
  execFileSync('tar', ['-C', root, '-cf', file, '.'])
  execFileSync('rm', ['-rf', root])
  return file
}
