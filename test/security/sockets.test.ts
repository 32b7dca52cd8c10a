/** Sockets that lead out of a container without an address. */
import { randomBytes } from 'node:crypto'
import { createServer } from 'node:net'
import { type RunOptions, run } from '../../lib/index.js'
import { attack, connectAbstract, hostImage, WEAK } from '../support/attack.js'
import { compileProgram } from '../support/program.js'

describe('sockets', () => {
  test('of kinds that reach the host’s machine or kernel are refused', async () => {
    const kinds = 'for family in (40, 38): print(word(call("socket", family, 5, 0)))' // AF_VSOCK, AF_ALG (CVE-2026-31431)
    expect(await attack(kinds)).toEqual(['EPERM', 'EPERM'])
    // Reachable: made, or unknown to this kernel.
    for (const answer of await attack(kinds, WEAK)) expect(['done', 'EAFNOSUPPORT']).toContain(answer)
  })

  if (process.arch === 'x64') {
    const gates = compileProgram('gates')
    const made = async (gate: string, family: number, options: RunOptions = {}) => {
      const files = { '/gates': { content: gates, mode: 0o755 } }
      const { stdout, signal } = await run(await hostImage(), ['/gates', gate, String(family)], { ...options, files })
      return signal ?? stdout.trim()
    }
    const unfiltered: RunOptions = { security: { seccomp: 'unconfined' } }

    test('are not made by the calls of 32-bit programs either, which Docker’s filter cannot look into', async () => {
      expect(await made('plain', 2)).toBe('made')
      for (const family of [2, 38, 40]) {
        expect(await made('i386', family)).toBe('SIGSYS')
        expect(await made('x32', family)).toBe('ENOSYS')
      }
      expect([await made('plain', 38), await made('plain', 40)]).toEqual(['EPERM', 'EPERM'])
      // Made, or unknown to this kernel, which may also be one without 32-bit programs: then the gate is not there.
      expect(await made('plain', 38, unfiltered)).toMatch(/^(made|EAFNOSUPPORT)$/)
      expect(await made('i386', 1, unfiltered)).toMatch(/^(made|SIGSEGV|ENOSYS)$/)
    })
  }

  test('without a file belong to the network namespace: the host’s are out of reach (CVE-2020-15257)', async () => {
    const name = `caisson-test-${randomBytes(8).toString('hex')}`
    const server = createServer((socket) => socket.on('error', () => undefined)).listen(`\0${name}`)
    const connect = connectAbstract(name)
    try {
      expect(await attack(connect)).toEqual(['ECONNREFUSED'])
      expect(await attack(connect, { network: 'host', security: { landlock: 'off' } })).toEqual(['done'])
    } finally {
      server.close()
    }
  })

  test('of this library have files: nothing of it is open to a container in the host’s network', async () => {
    const [names] = await attack('print(open("/proc/net/unix").read().count("@caisson"))', { network: 'host' })
    expect(names).toBe('0')
  })

  test('of the kernel tell only about the container', async () => {
    const links = 'print(sorted(name for _, name in __import__("socket").if_nameindex()))'
    expect(await attack(links)).toEqual(["['lo']"])
    expect((await attack(links, { network: 'host' })).join()).not.toBe("['lo']")
  })
})
