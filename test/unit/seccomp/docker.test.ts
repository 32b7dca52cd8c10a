/**
 * The default profile against Docker's own file, which CAISSON_DOCKER_PROFILE names: seccomp/default.json of
 * github.com/moby/profiles. It is not part of this repository; default.test.ts has the decisions without it.
 */
import { existsSync, readFileSync } from 'node:fs'
import { compileFilter } from '../../../lib/seccomp/compile.js'
import { defaultProfile } from '../../../lib/seccomp/default.js'
import { parseDockerProfile } from '../../../lib/seccomp/parse.js'
import type { Architecture } from '../../../lib/seccomp/profile.js'
import { syscallNumbers } from '../../../lib/seccomp/syscalls.js'
import { CAPABILITIES, DEFAULT_CAPABILITIES } from '../../../lib/spec/capabilities.js'
import { AUDIT_ARCH, type Call, checkFilter, runnerOf } from '../../support/bpf.js'
import { type JsonProfile, oracle } from '../../support/seccomp-oracle.js'

const EPERM = 0x50001
const file = process.env.CAISSON_DOCKER_PROFILE ?? ''
const profile: JsonProfile | undefined = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : undefined

/** Arguments at the edges of all that the profile compares with, alone and with bits above the lower word. */
function edges({ syscalls }: JsonProfile): bigint[] {
  const named = syscalls.flatMap(({ args }) => args ?? []).flatMap(({ value, valueTwo = 0 }) => [value, valueTwo])
  const bits = Array.from({ length: 64 }, (_, bit) => 1n << BigInt(bit))
  const near = [...named.map(BigInt), ...bits].flatMap((value) => [value - 1n, value, value + 1n, value ^ (1n << 32n)])
  return [...new Set(near.map((value) => BigInt.asUintN(64, value)))]
}

function* calls(profile: JsonProfile, arch: Architecture): Generator<Call> {
  const numbers = [...Array(601).keys(), 1023, 0x3fffffff, 0x40000000, 0x40000029, 0x400001d0, 0x7fffffff, 0xffffffff]
  const names = new Set(profile.syscalls.filter(({ args }) => args?.length).flatMap(({ names = [] }) => names))
  const compared = new Set([...names].map((name) => syscallNumbers(arch).get(name)))
  for (const audit of Object.values(AUDIT_ARCH))
    for (const number of numbers) {
      yield { arch: audit, number, args: [0n, 0n] }
      if (compared.has(number)) for (const value of edges(profile)) yield { arch: audit, number, args: [value, value] }
    }
}

const sets: Array<[string, readonly string[]]> = [
  ['no capabilities', []],
  ["Docker's capabilities", DEFAULT_CAPABILITIES],
  ['all capabilities', CAPABILITIES],
  ['all but CAP_SYS_ADMIN', CAPABILITIES.filter((name) => name !== 'CAP_SYS_ADMIN')],
  ...CAPABILITIES.map((name): [string, string[]] => [name, [name]]),
]

if (profile) {
  describe.each<Architecture>(['x64', 'arm64'])("Docker's file on %s", (arch) => {
    const names = new Map([...syscallNumbers(arch)].map(([name, number]) => [number, name]))

    test.each(sets)('decides as the default profile with %s', (_, capabilities) => {
      const expected = oracle(profile, { arch, capabilities, kernel: [5, 12], names })
      const filter = compileFilter(defaultProfile(), { arch, capabilities })
      const parsed = compileFilter(parseDockerProfile(profile), { arch, capabilities })
      checkFilter(filter)
      checkFilter(parsed)
      const [ours, theirs] = [runnerOf(filter), runnerOf(parsed)]
      for (const call of calls(profile, arch)) {
        const { action } = ours(call)
        const wanted = expected(call)
        if (theirs(call).action !== wanted) expect([call, theirs(call).action]).toEqual([call, wanted])
        // The one place where ours is stricter: Docker's rule does not see that these are AF_ALG and AF_VSOCK too.
        const family = BigInt.asUintN(32, call.args?.[0] ?? 0n)
        const refused = names.get(call.number) === 'socket' && (family === 38n || family === 40n)
        const strict = refused && call.arch === AUDIT_ARCH[arch] ? EPERM : wanted
        if (action !== strict) expect([call, action]).toEqual([call, strict])
      }
    })
  })
} else {
  // Not skipped: the file is nowhere required. But a path that was given has to be right.
  test('CAISSON_DOCKER_PROFILE is unset, or names a file', () => expect(file).toBe(''))
}
