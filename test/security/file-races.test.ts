/** A guest that swaps a directory for a link while its files are read and written from outside (CVE-2018-15664). */
import { randomBytes } from 'node:crypto'
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { Container, Volume } from '../../lib/index.js'
import { hostImage } from '../support/attack.js'
import { compileProgram } from '../support/program.js'
import { look, removeScratch, scratch } from '../support/tree.js'

afterAll(removeScratch)

const LINKS: Array<[string, (outside: string) => string]> = [
  ['absolute', (outside) => outside],
  ['upwards', (outside) => `${'../'.repeat(12)}${outside.slice(1)}`],
  ['through /proc', (outside) => `/proc/1/root/../../..${outside}`],
]

describe('container.fs, while the guest swaps what lies on the way', () => {
  test.each(LINKS)('reaches nothing outside: %s', async (_name, link) => {
    const secret = randomBytes(16).toString('hex')
    const outside = scratch()
    writeFileSync(path.join(outside, 'file'), secret)
    await using container = await Container.create(await hostImage(), {
      command: ['/swap', '/w', 'a', 'b'],
      files: { '/swap': { content: compileProgram('swap'), mode: 0o755 }, '/w/a/file': 'inside' },
      storage: 'disk',
    })
    await container.fs.mkdir('/w/a', { recursive: true })
    await container.fs.writeFile('/w/a/file', 'inside')
    await container.fs.symlink(link(outside), '/w/b')
    await container.start()
    const before = look(outside, { times: 'exact', directoryTimes: true })
    const { fs } = container
    const tally = { done: 0, refused: 0 }
    // On a busy machine the guest may not be swapping yet.
    const seenBoth = () => tally.done > 0 && tally.refused > 0
    for (let round = 0; round < 60 || (round < 3000 && !seenBoth()); round++) {
      const work: Array<Promise<unknown>> = [
        fs.readFile('/w/a/file', 'utf8').then((text) => expect(text).not.toContain(secret)),
        fs.readdir('/w/a'),
        fs.stat('/w/a/file'),
        fs.writeFile('/w/a/file', `written ${round}`),
        fs.writeFile(`/w/a/new${round}`, 'x'),
        fs.mkdir(`/w/a/d${round}`),
        fs.symlink('x', `/w/a/l${round}`),
        fs.chmod('/w/a/file', 0o600),
        fs.rename(`/w/a/new${round - 1}`, `/w/a/old${round}`),
        fs.rm(`/w/a/old${round - 1}`, { force: true }),
      ]
      for (const each of await Promise.allSettled(work)) {
        if (each.status === 'fulfilled') tally.done++
        else if ((each.reason as { code?: string }).code === 'ERR_CAISSON_FILE') tally.refused++
        else throw each.reason
      }
    }
    expect(look(outside, { times: 'exact', directoryTimes: true })).toEqual(before)
    expect(readFileSync(path.join(outside, 'file'), 'utf8')).toBe(secret)
    expect(tally.done).toBeGreaterThan(0)
    expect(tally.refused).toBeGreaterThan(0)
  })
})

test('the usage of a volume counts nothing outside, while a container swaps what lies in it', async () => {
  const outside = scratch()
  writeFileSync(path.join(outside, 'file'), Buffer.alloc(8 << 20, 'x'))
  const volume = await Volume.create()
  try {
    await using container = await Container.create(await hostImage(), {
      command: ['/swap', '/v', 'a', 'b'],
      files: { '/swap': { content: compileProgram('swap'), mode: 0o755 } },
      mounts: [{ type: 'volume', source: volume.name, target: '/v' }],
    })
    mkdirSync(path.join(volume.path, 'a'))
    symlinkSync(outside, path.join(volume.path, 'b'))
    await container.start()
    let most = 0
    // Whoever exchanges names without end holds up others who look into that directory, and all the more on a busy machine.
    const end = Date.now() + 10_000
    let rounds = 0
    for (; rounds < 500 && Date.now() < end; rounds++) most = Math.max(most, (await volume.usage()).bytes)
    expect(rounds).toBeGreaterThan(20)
    expect(most).toBeLessThan(1 << 20)
  } finally {
    await volume.remove()
  }
})
