/**
 * Two containers that share a directory: one swaps a part of a mount's target for a link while the other starts.
 */
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { type Execution, run } from '../../lib/index.js'
import { begun, hostImage } from '../support/attack.js'
import { compileProgram } from '../support/program.js'
import { look, removeScratch, scratch } from '../support/tree.js'

afterAll(removeScratch)
const swap = compileProgram('swap')

/** A directory that `a` names now and then, and a link to a place of the host with a secret at other times. */
async function swapping() {
  const above = scratch()
  const [shared, outside] = [path.join(above, 'shared'), path.join(above, 'outside')]
  for (const directory of [path.join(shared, 'a'), path.join(outside, 'made')])
    mkdirSync(directory, { recursive: true })
  const secret = randomBytes(16).toString('hex')
  writeFileSync(path.join(outside, 'secret'), secret)
  symlinkSync(path.join('/..'.repeat(12), outside), path.join(shared, 'b'))
  const swapper: Execution = run(await hostImage(), ['/swap', '/shared', 'a', 'b'], {
    files: { '/swap': { content: swap, mode: 0o755 } },
    mounts: [{ type: 'bind', source: shared, target: '/shared' }],
  })
  await begun(swapper)
  const end = async () => {
    swapper.kill()
    await swapper
  }
  return { shared, outside, secret, end }
}

const ROUNDS = 80

describe('a target that is swapped while it is mounted', () => {
  test('never leads a mount outside (CVE-2021-30465), and no directory or file is made there (CVE-2024-45310)', async () => {
    const { shared, outside, secret, end } = await swapping()
    // By name the host’s own programs are led astray: the race is real.
    const seen = new Set<string>()
    for (const until = Date.now() + 20_000; seen.size < 2 && Date.now() < until; )
      try {
        seen.add(readdirSync(path.join(shared, 'a')).length > 0 ? 'outside' : 'inside')
      } catch {}
    expect(seen.size).toBe(2)
    const strayed = path.join(outside, 'strayed')
    for (const until = Date.now() + 20_000; !existsSync(strayed) && Date.now() < until; )
      try {
        mkdirSync(path.join(shared, 'a/strayed'))
      } catch {}
    expect(existsSync(strayed)).toBe(true)
    rmSync(strayed, { recursive: true })

    const before = look(outside, { times: 'exact' })
    const mounts = readFileSync('/proc/self/mountinfo', 'utf8')
    let ran = 0
    for (let round = 0; round < ROUNDS; round++) {
      const result = await run(
        await hostImage(),
        ['sh', '-c', 'cat /shared/a/secret; touch /shared/a/made/x; cat /shared/a/new/* /tmp/*'],
        {
          mounts: [
            { type: 'bind', source: shared, target: '/shared' },
            { type: 'tmpfs', target: `/shared/a/new/${round}` },
            { type: 'tmpfs', target: '/shared/a/made' },
          ],
          files: { [`/shared/a/file${round % 3}`]: 'content' },
        },
      ).catch(() => undefined)
      if (!result) continue
      ran++
      expect(result.stdout).not.toContain(secret)
    }
    await end()
    expect(ran).toBeGreaterThan(0)
    expect(look(outside, { times: 'exact' })).toEqual(before)
    expect(readFileSync('/proc/self/mountinfo', 'utf8')).toBe(mounts)
    expect(statSync(path.join(outside, 'made')).nlink).toBe(2)
  })
})
