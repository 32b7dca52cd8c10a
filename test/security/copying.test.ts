/** Archives into and out of a container that has programs of its own under the names of those that unpack. */
import { execFileSync, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { gzipSync } from 'node:zlib'
import { Container, Image } from '../../lib/index.js'
import { archive } from '../support/archive.js'
import { hostImage } from '../support/attack.js'
import { hostileRoot } from '../support/naive.js'
import { findProgram } from '../support/needs.js'
import { compileProgram } from '../support/program.js'
import { look, removeScratch, scratch } from '../support/tree.js'

afterAll(removeScratch)

const PROGRAMS = ['tar', 'gzip', 'gunzip', 'unpigz', 'pigz', 'xz', 'unxz', 'zstd', 'unzstd', 'bzip2', 'sh', 'chroot']

/** A root whose programs all leave a mark; it has a `sleep` to live on. */
function trapped() {
  return hostileRoot((root) => {
    const trap = '#!/bin/busybox sh\necho "$0" >> /marked\ncat\n'
    for (const name of PROGRAMS) writeFileSync(path.join(root, 'bin', `x${name}`), trap, { mode: 0o755 })
  })
}

const bytes = (compressed: Buffer) => Readable.from([compressed])
const compressedBy = (program: string, input: Buffer) => execFileSync(program, ['-c'], { input })

describe('programs of the container under the names of those that unpack (CVE-2019-14271, CVE-2026-41567)', () => {
  const tar = archive({ name: 'in', data: 'from the archive' })
  const forms: Array<[string, Buffer]> = [
    ['plain', tar],
    ['gzip', gzipSync(tar)],
    ...(['xz', 'zstd', 'bzip2'] as const)
      .filter((program) => findProgram(program))
      .map((program): [string, Buffer] => [program, compressedBy(findProgram(program) as string, tar)]),
  ]

  const containerOf = async (root: string) =>
    Container.create(await Image.fromRootfs(root), { command: ['/bin/busybox', 'sleep', '1000'] })

  test.each(forms)('are not run for an archive: %s', async (_name, form) => {
    const { root } = trapped()
    for (const name of PROGRAMS)
      spawnSync('mv', ['-f', path.join(root, 'bin', `x${name}`), path.join(root, 'bin', name)])
    await using container = await containerOf(root)
    for (const running of [false, true]) {
      if (running) await container.start()
      const put = await container.putArchive('/', bytes(form)).then(
        () => 'done',
        (error: { code?: string }) => error.code,
      )
      if (put === 'done') expect(await container.fs.readFile('/in', 'utf8')).toBe('from the archive')
      else expect(put).toMatch(/^ERR_CAISSON_/)
      await buffer(container.getArchive('/bin'))
      await expect(container.fs.stat('/marked')).rejects.toMatchObject({ code: 'ERR_CAISSON_FILE' })
    }
    // Whoever runs them by name, inside, runs the traps.
    const ran = await container.exec(['/bin/gunzip'], { input: gzipSync(tar) })
    expect(ran.exitCode).toBe(0)
    expect(await container.fs.readFile('/marked', 'utf8')).toBe('/bin/gunzip\n')
  })
})

describe('archives while the guest swaps what lies on the way (CVE-2018-15664, CVE-2026-41568, CVE-2026-42306)', () => {
  test('neither read nor write outside', async () => {
    const secret = randomBytes(16).toString('hex')
    const outside = scratch()
    writeFileSync(path.join(outside, 'file'), secret)
    await using container = await Container.create(await hostImage(), {
      command: ['/swap', '/w', 'a', 'b'],
      files: { '/swap': { content: compileProgram('swap'), mode: 0o755 } },
    })
    await container.fs.mkdir('/w/a', { recursive: true })
    await container.fs.writeFile('/w/a/file', 'inside')
    await container.fs.symlink(path.join('/..'.repeat(12), outside), '/w/b')
    await container.start()
    const before = look(outside, { times: 'exact', directoryTimes: true })
    let [inside, nowhere] = [0, 0]
    for (let round = 0; round < 60; round++) {
      const work = [
        container.putArchive('/w/a', bytes(archive({ name: `new${round}`, data: 'x' }, { name: 'd/e', data: 'y' }))),
        container.putArchive('/', bytes(archive({ name: `w/a/made${round}`, data: 'x' }))),
        buffer(container.getArchive('/w/a')).then((all) => expect(all.includes(secret)).toBe(false)),
        buffer(container.getArchive('/w/a/file')).then((all) => expect(all.includes(secret)).toBe(false)),
      ]
      for (const each of await Promise.allSettled(work)) {
        if (each.status === 'fulfilled') inside++
        else if ((each.reason as { code?: string }).code?.startsWith('ERR_CAISSON_')) nowhere++
        else throw each.reason
      }
    }
    expect(look(outside, { times: 'exact', directoryTimes: true })).toEqual(before)
    expect(inside).toBeGreaterThan(0)
    expect(nowhere).toBeGreaterThan(0)
    // By name the same link leads there.
    const swapped = path.join(scratch(), 'b')
    symlinkSync(path.join('/..'.repeat(12), outside), swapped)
    expect(execFileSync('tar', ['-cf', '-', '-C', swapped, 'file']).includes(secret)).toBe(true)
  }, 60_000)
})
