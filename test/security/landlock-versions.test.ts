/** Under kernels whose Landlock is older: they are asked for exactly what they know, and what they lack is never left out. */
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import type { LandlockRules } from '../../lib/index.js'
import { isRoot, testIf } from '../support/needs.js'
import { NO_NAMESPACES, within } from '../support/outer.js'
import { compileProgram } from '../support/program.js'
import { removeScratch, scratch } from '../support/tree.js'

/** All rights to files of each version (kernel documentation, userspace-api/landlock). */
const FILES: Record<number, number> = { 2: 0x3fff, 3: 0x7fff, 4: 0x7fff, 5: 0xffff, 6: 0xffff, 7: 0xffff }
const [NETWORK_FROM, SCOPE_FROM] = [4, 6]
const TCP = 3
const ABSTRACT_AND_SIGNAL = 3

interface Seen {
  landlock: number
  tier: string
  runs: Array<{
    output?: string
    failure?: { code: string; stage: string; hint: string }
    /** The rulesets that were made for it: files, network, scopes, and the errno. */
    asked: number[][]
  }>
}

const rules = (landlock: LandlockRules | 'default') => ({ security: { landlock } })

/** What is set up may be looked into by root alone. */
const it = testIf(!isRoot && 'only root can stand in for the kernel')

describe('on a kernel with version', () => {
  let program: string
  beforeAll(() => {
    program = path.join(scratch(), 'landlock_as')
    if (isRoot) writeFileSync(program, compileProgram('landlock_as'), { mode: 0o755 })
  })
  afterAll(removeScratch)

  /** What becomes of a run with each of these options. */
  function under(version: number, options: object[], forbid?: string): Promise<Seen> {
    const log = path.join(scratch(), 'log')
    writeFileSync(log, '')
    const script = `
      import { readFileSync, truncateSync } from 'node:fs'
      const image = await Image.host()
      const log = ${JSON.stringify(log)}
      const runs = []
      const container = await Container.create(image, { command: ['sleep', '1000'], security: { require: 'landlock' } })
      await container.start()
      const { landlock, tier } = container.inspect().isolation
      await container.remove({ force: true })
      for (const each of ${JSON.stringify(options)}) {
        truncateSync(log)
        const { value, ...failure } = await failing(run(image, ['sh', '-c', 'cd ~ && echo x > x && cat x'], { env: { HOME: '/tmp' }, ...each }))
        const lines = readFileSync(log, 'utf8').trim().split('\\n').filter(Boolean)
        const asked = lines.map((line) => line.split(' ').map((word, i) => parseInt(word, i < 3 ? 16 : 10)))
        runs.push({ ...(value ? { output: value.stdout + value.stderr } : { failure }), asked })
      }
      show({ landlock, tier, runs })`
    return within<Seen>(script, { outer: [program, String(version), log], forbid })
  }

  const refused = { failure: expect.objectContaining({ stage: 'landlock', hint: expect.any(String) }), asked: [] }
  const output = 'x\n'

  for (const version of Object.keys(FILES).map(Number)) {
    const files = FILES[version] as number

    it(`${version} containers ask for all that it knows of files, and for what callers want, or that is an error`, async () => {
      const wanted = [{}, rules({ connect: [80], bind: [80] }), rules({ scope: ['signal', 'abstract-unix'] })]
      expect(await under(version, wanted)).toEqual({
        landlock: version,
        tier: 'namespaces',
        runs: [
          { output, asked: [[files, 0, 0, 0]] },
          version < NETWORK_FROM ? refused : { output, asked: [[files, TCP, 0, 0]] },
          version < SCOPE_FROM ? refused : { output, asked: [[files, 0, ABSTRACT_AND_SIGNAL, 0]] },
        ],
      })
    })

    it(`${version} programs without namespaces are kept by all that it knows`, async () => {
      const own = { security: { require: 'landlock' }, env: {} }
      // Where there are scopes, whoever ends them all is in one of its own.
      const guard = version < SCOPE_FROM ? [] : [[0, 0, ABSTRACT_AND_SIGNAL, 0]]
      const all = [files, version < NETWORK_FROM ? 0 : TCP, version < SCOPE_FROM ? 0 : ABSTRACT_AND_SIGNAL, 0]
      expect(await under(version, [own], NO_NAMESPACES)).toEqual({
        landlock: version,
        tier: 'landlock',
        runs: [{ output, asked: [...guard, all] }],
      })
    })
  }

  it('1, where nothing could be moved, the other walls stand alone, and it is an error where it was asked for', async () => {
    expect(await under(1, [{}, rules('default')])).toEqual({
      landlock: 1,
      tier: 'namespaces',
      runs: [{ output, asked: [] }, refused],
    })
  })
})
