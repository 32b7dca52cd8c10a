/** The configuration that we write for a container, run by others: its filter must keep out what ours does. */
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { Container } from '../../lib/index.js'
import type { Architecture } from '../../lib/seccomp/profile.js'
import { syscallNumbers } from '../../lib/seccomp/syscalls.js'
import type { RuntimeSpec } from '../../lib/spec/runtime.js'
import { hostImage } from '../support/attack.js'
import { testIf } from '../support/needs.js'
import { noPeers, type Peer, runBundle } from '../support/peers.js'
import { compileProgram } from '../support/program.js'
import { removeScratch, scratch } from '../support/tree.js'

/** Of no call of the kernel, so an answer with it comes from the filter. */
const UNUSUAL = 999
const numbers = syscallNumbers(process.arch as Architecture)
const nr = (name: string) => numbers.get(name) as number

const families = [0n, 1n, 2n, 16n, 31n, 37n, 38n, 39n, 40n, 41n, 45n, 46n, 64n, 0xffffffffn, 0x100000026n, 0x100000028n]
const personalities = [0n, 1n, 8n, 9n, 0x20000n, 0x20008n, 0x40000n, 0xffffffffn]
const flags = [17n, ...[17, 25, 26, 27, 28, 29, 30].map((bit) => (1n << BigInt(bit)) + 17n)]
const ARGUMENTS = [
  ...families.map((family) => `${nr('socket')}:${family}`),
  ...personalities.map((persona) => `${nr('personality')}:${persona}`),
  ...flags.map((flag) => `${nr('clone')}:${flag}`),
]

/** Calls that the filter refuses, as they were asked for and in their order. */
function refused(output: string, asked: readonly string[]): string[] {
  const lines = output.trim().split('\n')
  expect(lines).toHaveLength(asked.length)
  return asked.filter((_, i) => lines[i]?.endsWith(` ${UNUSUAL}`))
}

describe('the filter of a container', () => {
  // Newer ones are no names yet to the libseccomp of 2022, and then no rules.
  const asked = [...Array.from({ length: 451 }, (_, number) => String(number)), ...ARGUMENTS]
  let container: Container
  let bundle: string
  let ours: string[]
  beforeAll(async () => {
    const program = path.join(scratch(), 'syscalls')
    writeFileSync(program, compileProgram('syscalls'), { mode: 0o755 })
    container = await Container.create(await hostImage(), {
      command: ['/syscalls', ...asked],
      mounts: [{ type: 'bind', source: program, target: '/syscalls' }],
    })
    bundle = container.inspect().bundle
    const file = path.join(bundle, 'config.json')
    const spec = JSON.parse(readFileSync(file, 'utf8')) as RuntimeSpec
    if (spec.linux?.seccomp) spec.linux.seccomp.defaultErrnoRet = UNUSUAL
    writeFileSync(file, JSON.stringify(spec))
    await using again = await Container.fromBundle(bundle)
    await again.start()
    ours = refused((await again.wait()).stdout, asked)
  }, 120_000)
  afterAll(async () => {
    await container.remove({ force: true })
    removeScratch()
  })

  test('is in the configuration as it is in force', () => {
    const without = (words: string) => words.split(' ').map((name) => String(nr(name)))
    expect(ours).toEqual(expect.arrayContaining(without('bpf keyctl unshare mount io_uring_setup')))
    expect(ours).not.toEqual(expect.arrayContaining(without('read')))
    const sockets = ours.filter((call) => call.startsWith(`${nr('socket')}:`))
    expect(sockets).toEqual([38n, 40n, 0x100000026n, 0x100000028n].map((family) => `${nr('socket')}:${family}`))
  })

  for (const peer of ['runc', 'crun'] as Peer[])
    testIf(noPeers)(
      `refuses the same when ${peer} compiles it`,
      async () => {
        const { stdout, stderr, status } = runBundle(peer, bundle)
        expect({ stderr, status }).toEqual({ stderr: '', status: 0 })
        expect(refused(stdout, asked)).toEqual(ours)
      },
      120_000,
    )
})
