/** Our compiler against libseccomp's, by what their filters decide. */
import { compileFilter } from '../../../lib/seccomp/compile.js'
import { defaultProfile } from '../../../lib/seccomp/default.js'
import type { Architecture } from '../../../lib/seccomp/profile.js'
import { toSpecSeccomp } from '../../../lib/seccomp/spec.js'
import { syscallNumbers } from '../../../lib/seccomp/syscalls.js'
import { CAPABILITIES, DEFAULT_CAPABILITIES } from '../../../lib/spec/capabilities.js'
import { AUDIT_ARCH, checkFilter, runnerOf } from '../../support/bpf.js'
import { compileByLibseccomp, noLibseccomp } from '../../support/libseccomp.js'
import { testIf } from '../../support/needs.js'
import type { JsonProfile } from '../../support/seccomp-oracle.js'
import { removeScratch } from '../../support/tree.js'

afterAll(removeScratch)

const ALL_BITS = (1n << 64n) - 1n

/** Around everything that the profile compares an argument with, in both words. */
function edges({ syscalls }: JsonProfile): bigint[] {
  const given = syscalls.flatMap(({ args }) => args ?? []).flatMap(({ value, valueTwo = 0 }) => [value, valueTwo])
  const bits = Array.from({ length: 64 }, (_, bit) => 1n << BigInt(bit))
  const near = [...given.map(BigInt), ...bits].flatMap((value) => [value - 1n, value, value + 1n, value ^ (1n << 32n)])
  return [...new Set(near.map((value) => BigInt.asUintN(64, value)))]
}

const SETS: Array<[string, readonly string[]]> = [
  ['the default capabilities', DEFAULT_CAPABILITIES],
  ['no capabilities', []],
  ['all capabilities', CAPABILITIES],
  ['all but CAP_SYS_ADMIN', CAPABILITIES.filter((name) => name !== 'CAP_SYS_ADMIN')],
]

describe.each<Architecture>(['x64', 'arm64'])('the default profile on %s', (arch) => {
  for (const [name, capabilities] of SETS)
    testIf(noLibseccomp)(`is compiled as libseccomp does, with ${name}`, async () => {
      const profile = toSpecSeccomp(defaultProfile(), { arch, capabilities }) as JsonProfile
      const { filter, unknown } = compileByLibseccomp(profile, arch)
      checkFilter(filter)
      const ours = runnerOf(compileFilter(defaultProfile(), { arch, capabilities }))
      const theirs = runnerOf(filter)
      const values = edges(profile)
      const counts = new Map<number, number>()
      for (const [call, number] of syscallNumbers(arch)) {
        if (unknown.has(call)) continue
        for (const args of [[0n, 0n], [ALL_BITS, ALL_BITS], ...values.map((value) => [value, value])]) {
          const asked = { arch: AUDIT_ARCH[arch], number, args }
          const { action } = theirs(asked)
          // Newer than all that the profile names: libseccomp has no such rule, runc adds it (see compile.ts).
          if (number > 466) continue
          if (ours(asked).action !== action) expect([call, args, ours(asked).action]).toEqual([call, args, action])
          counts.set(action, (counts.get(action) ?? 0) + 1)
        }
      }
      // It knows most of them, and both let some through and refuse others.
      expect(unknown.size).toBeLessThan(40)
      expect(counts.get(0x7fff0000)).toBeGreaterThan(250 * values.length)
      expect(counts.get(0x50001)).toBeGreaterThan(15 * values.length)
    })
})
