import fc from 'fast-check'
import { compileFilter } from '../../../lib/seccomp/compile.js'
import { parseDockerProfile, parseSpecSeccomp } from '../../../lib/seccomp/parse.js'
import type { Architecture } from '../../../lib/seccomp/profile.js'
import { toSpecSeccomp } from '../../../lib/seccomp/spec.js'
import { syscallNumbers } from '../../../lib/seccomp/syscalls.js'
import { AUDIT_ARCH, type Call, checkFilter, runFilter, runnerOf } from '../../support/bpf.js'
import { actionValue, type JsonProfile, type JsonRule, oracle } from '../../support/seccomp-oracle.js'

const LIMIT = 1n << 64n
const ALLOW = actionValue('SCMP_ACT_ALLOW')
const EPERM = actionValue('SCMP_ACT_ERRNO')
const ENOSYS = actionValue('SCMP_ACT_ERRNO', 38)

const namesOf = (arch: Architecture) =>
  new Map([...syscallNumbers(arch)].map(([name, number]): [number, string] => [number, name]))
const NAMES = { x64: namesOf('x64'), arm64: namesOf('arm64') }

function compile(profile: object, arch: Architecture = 'x64', capabilities: string[] = []): Uint8Array {
  return compileFilter(parseDockerProfile(profile), { arch, capabilities })
}

/** What the filter of a profile answers to x64 calls by name. */
function answers(profile: object): (name: string | number, ...args: bigint[]) => number {
  const filter = compile(profile)
  checkFilter(filter)
  const numbers = syscallNumbers('x64')
  const run = runnerOf(filter)
  return (name, ...args) => {
    const number = typeof name === 'number' ? name : (numbers.get(name) as number)
    return run({ arch: AUDIT_ARCH.x64, number, args }).action
  }
}

const deny = (...syscalls: JsonRule[]) => ({ defaultAction: 'SCMP_ACT_ERRNO', syscalls })
const allow = (names: string[], ...args: NonNullable<JsonRule['args']>): JsonRule => ({
  names,
  action: 'SCMP_ACT_ALLOW',
  args,
})
const compare = (op: string, index: number, value: number | bigint, valueTwo?: number | bigint) => ({
  op: `SCMP_CMP_${op}`,
  index,
  value,
  ...(valueTwo === undefined ? {} : { valueTwo }),
})

describe('compileFilter', () => {
  test.each([
    ['SCMP_ACT_ALLOW', 0x7fff0000],
    ['SCMP_ACT_LOG', 0x7ffc0000],
    ['SCMP_ACT_TRACE', 0x7ff00001],
    ['SCMP_ACT_ERRNO', 0x00050001],
    ['SCMP_ACT_TRAP', 0x00030000],
    ['SCMP_ACT_KILL', 0],
    ['SCMP_ACT_KILL_THREAD', 0],
    ['SCMP_ACT_KILL_PROCESS', 0x80000000],
  ])('%s', (action, value) => {
    const other = action === 'SCMP_ACT_ALLOW' ? 'SCMP_ACT_LOG' : 'SCMP_ACT_ALLOW'
    const byRule = answers({ defaultAction: other, syscalls: [{ names: ['read'], action }] })
    expect([byRule('read'), byRule('write')]).toEqual([value, actionValue(other)])
    const byDefault = answers({ defaultAction: action, syscalls: [{ names: ['write'], action: other }] })
    expect([byDefault('read'), byDefault('write')]).toEqual([value, actionValue(other)])
  })

  test('numbers of actions', () => {
    const ask = answers({
      defaultAction: 'SCMP_ACT_ERRNO',
      defaultErrnoRet: 999,
      syscalls: [
        { names: ['read'], action: 'SCMP_ACT_ERRNO', errnoRet: 0 },
        { names: ['write'], action: 'SCMP_ACT_ERRNO', errnoRet: 4095 },
        { names: ['open'], action: 'SCMP_ACT_TRACE', errnoRet: 0xffff },
        { names: ['stat'], action: 'SCMP_ACT_ERRNO' },
      ],
    })
    expect(['read', 'write', 'open', 'close', 'stat'].map((name) => ask(name))).toEqual([
      0x50000, 0x50fff, 0x7ff0ffff, 0x503e7, 0x50001,
    ])
  })

  const values = [0n, 1n, 7n, 0xffffffffn, 0x100000000n, 0x100000007n, 0x7fffffffffffffffn, LIMIT - 2n, LIMIT - 1n]
  test.each<[string, (argument: bigint, value: bigint) => boolean]>([
    ['NE', (a, b) => a !== b],
    ['LT', (a, b) => a < b],
    ['LE', (a, b) => a <= b],
    ['EQ', (a, b) => a === b],
    ['GE', (a, b) => a >= b],
    ['GT', (a, b) => a > b],
    ['MASKED_EQ', (a, b) => (a & b) === 0n],
  ])('%s compares all 64 bits of each argument', (op, holds) => {
    for (const index of [0, 5])
      for (const value of values) {
        // The second form has two arguments, which goes another way through the compiler.
        const one = answers(deny(allow(['ioctl'], compare(op, index, value))))
        const two = answers(deny(allow(['ioctl'], compare(op, index, value), compare('EQ', 3, 5))))
        for (const near of values)
          for (const argument of [near - 1n, near, near + 1n, near ^ (1n << 32n)].map((n) => BigInt.asUintN(64, n))) {
            const args = [9n, 9n, 9n, 5n, 9n, 9n]
            args[index] = argument
            const expected = holds(argument, value) ? ALLOW : EPERM
            expect([op, argument, value, one('ioctl', ...args)]).toEqual([op, argument, value, expected])
            expect([op, argument, value, two('ioctl', ...args)]).toEqual([op, argument, value, expected])
            args[3] = 6n
            expect(two('ioctl', ...args)).toBe(EPERM)
          }
      }
  })

  test('MASKED_EQ looks at the bits of the mask alone', () => {
    const ask = answers(deny(allow(['clone'], compare('MASKED_EQ', 0, 0xff00, 0x1234))))
    expect([0x1200n, 0x12ffn, 0xffff000012ffn].map((flags) => ask('clone', flags))).toEqual([ALLOW, ALLOW, ALLOW])
    expect([0x1300n, 0x34n].map((flags) => ask('clone', flags))).toEqual([EPERM, EPERM])
    expect(answers(deny(allow(['clone'], compare('MASKED_EQ', 0, 0, 5))))('clone', 77n)).toBe(ALLOW)
  })

  test('rules of one call are alternatives, arguments of one rule are all needed', () => {
    const ask = answers(
      deny(
        allow(['fcntl'], compare('EQ', 0, 1), compare('GE', 1, 5), compare('LT', 2, 3)),
        allow(['fcntl'], compare('EQ', 0, 2)),
      ),
    )
    expect(ask('fcntl', 1n, 5n, 2n)).toBe(ALLOW)
    expect(ask('fcntl', 2n, 0n, 9n)).toBe(ALLOW)
    for (const args of [
      [0n, 5n, 2n],
      [1n, 4n, 2n],
      [1n, 5n, 3n],
    ])
      expect(ask('fcntl', ...args)).toBe(EPERM)
  })

  test('the same argument twice in one rule makes every condition a rule of its own', () => {
    const ask = answers(deny(allow(['fcntl'], compare('EQ', 0, 1), compare('EQ', 0, 2), compare('EQ', 1, 7))))
    expect(ask('fcntl', 1n, 0n)).toBe(ALLOW)
    expect(ask('fcntl', 2n, 0n)).toBe(ALLOW)
    expect(ask('fcntl', 3n, 7n)).toBe(ALLOW)
    expect(ask('fcntl', 3n, 6n)).toBe(EPERM)
  })

  test('a rule without arguments goes first, then the order of the profile', () => {
    const fail = (errnoRet: number, ...args: NonNullable<JsonRule['args']>): JsonRule => ({
      names: ['kill'],
      action: 'SCMP_ACT_ERRNO',
      errnoRet,
      args,
    })
    const plain = answers(deny(fail(2, compare('EQ', 0, 1)), fail(3), fail(4), fail(5, compare('EQ', 0, 1))))
    expect(plain('kill', 1n)).toBe(0x50003)
    const ordered = answers(
      deny(fail(2, compare('GE', 0, 10)), fail(3, compare('GE', 0, 5)), fail(4, compare('LT', 1, 9))),
    )
    expect([10n, 5n, 4n].map((pid) => ordered('kill', pid, 0n))).toEqual([0x50002, 0x50003, 0x50004])
    expect(ordered('kill', 4n, 9n)).toBe(EPERM)
  })

  test('a rule that says what happens anyway is none', () => {
    const same: JsonRule = { names: ['kill'], action: 'SCMP_ACT_ERRNO', errnoRet: 1 }
    const ask = answers(deny(same, allow(['kill'], compare('EQ', 1, 15))))
    expect(ask('kill', 1n, 15n)).toBe(ALLOW)
    expect(ask('kill', 1n, 9n)).toBe(EPERM)
  })

  test('numbers above the highest that is named are ENOSYS, where the default refuses', () => {
    const highest = (defaultAction: string, action: string) => {
      const ask = answers({ defaultAction, syscalls: [{ names: ['write', 'nonsense', 'chown32'], action }] })
      return [0, 1, 2, 471, 472, 0x3fffffff].map((number) => ask(number))
    }
    for (const name of ['SCMP_ACT_ERRNO', 'SCMP_ACT_KILL', 'SCMP_ACT_KILL_PROCESS', 'SCMP_ACT_TRAP']) {
      const value = actionValue(name)
      expect(highest(name, 'SCMP_ACT_ALLOW')).toEqual([value, ALLOW, ENOSYS, ENOSYS, ENOSYS, ENOSYS])
      expect(highest(name, name)).toEqual([value, value, ENOSYS, ENOSYS, ENOSYS, ENOSYS])
    }
    for (const name of ['SCMP_ACT_ALLOW', 'SCMP_ACT_LOG', 'SCMP_ACT_TRACE']) {
      const value = actionValue(name)
      expect(highest(name, 'SCMP_ACT_KILL')).toEqual([value, 0, value, value, value, value])
    }
    expect(answers(deny())(0)).toBe(EPERM)
    expect(answers(deny())(1000)).toBe(EPERM)
  })

  test.each<[Architecture, number]>([
    ['x64', ENOSYS],
    ['arm64', ALLOW],
  ])('other architectures are killed and x32 is refused by a profile that allows all: %s', (arch, x32) => {
    const filter = compile({ defaultAction: 'SCMP_ACT_ALLOW', architectures: ['SCMP_ARCH_X86', 'SCMP_ARCH_X32'] }, arch)
    for (const [name, value] of Object.entries(AUDIT_ARCH))
      expect(runFilter(filter, { arch: value, number: 1 }).action).toBe(name === arch ? ALLOW : 0x80000000)
    expect(runFilter(filter, { arch: AUDIT_ARCH[arch], number: 0x40000001 }).action).toBe(x32)
    expect(runFilter(filter, { arch: AUDIT_ARCH[arch], number: 0x3fffffff }).action).toBe(ALLOW)
  })

  const many = (rules: number) =>
    deny(
      ...[...syscallNumbers('x64').keys()].slice(0, rules).map(
        (name, i): JsonRule => ({
          names: [name],
          action: 'SCMP_ACT_ERRNO',
          errnoRet: 100 + i,
          args: [
            compare('EQ', i % 6, (BigInt(i) << 40n) + 1n),
            compare('NE', (i + 1) % 6, 0xdeadbeefcafen + BigInt(i)),
          ],
        }),
      ),
    )

  test('long programs jump as they should', () => {
    const profile = many(350)
    const filter = compile(profile)
    checkFilter(filter)
    expect(filter.length / 8).toBeGreaterThan(3000)
    const expected = oracle(profile, { arch: 'x64', capabilities: [], kernel: [5, 12], names: NAMES.x64 })
    const run = runnerOf(filter)
    for (let number = 0; number < 480; number++)
      for (const hit of [0, number - 1, number]) {
        const args = Array.from({ length: 6 }, (_, i) => (i === hit % 6 ? (BigInt(hit) << 40n) + 1n : 0n))
        const call: Call = { arch: AUDIT_ARCH.x64, number, args }
        expect([number, args, run(call).action]).toEqual([number, args, expected(call)])
      }
  })

  test('programs longer than the kernel takes are an error', () => {
    expect(() => compile(deny(...many(380).syscalls, ...many(380).syscalls))).toThrow(
      expect.objectContaining({
        code: 'ERR_CAISSON_INVALID_ARGUMENT',
        message: expect.stringMatching(/\d{4} instructions/),
      }),
    )
  })

  test('many numbers for one argument are searched, not tried one by one', () => {
    const profile = deny(...Array.from({ length: 1000 }, (_, i) => allow(['ioctl'], compare('EQ', 1, 0x5400 + i * 3))))
    const filter = compile(profile)
    checkFilter(filter)
    const run = runnerOf(filter)
    for (let i = 0; i < 3000; i++) {
      const args = [0n, BigInt(0x5400 + i)]
      const { action, steps } = run({ arch: AUDIT_ARCH.x64, number: 16, args })
      expect([i, action]).toEqual([i, i % 3 === 0 ? ALLOW : EPERM])
      expect(steps).toBeLessThan(30)
    }
  })
})

const interesting = fc.oneof(
  fc.constantFrom(0n, 1n, 2n, 5n, 0xffffffffn, 1n << 32n, (1n << 32n) + 5n, 1n << 63n, LIMIT - 1n, 0xffffffff00000000n),
  fc.bigInt({ min: 0n, max: LIMIT - 1n }),
)
const number = interesting.map((value) => (value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value))
const action = fc.oneof(
  fc
    .constantFrom('ALLOW', 'LOG', 'TRAP', 'KILL', 'KILL_THREAD', 'KILL_PROCESS')
    .map((name) => ({ name, errno: undefined })),
  fc.record({ name: fc.constantFrom('ERRNO', 'TRACE'), errno: fc.constantFrom(undefined, 1, 2, 38, 4095) }),
)
const argument = fc.record({
  index: fc.nat({ max: 5 }),
  op: fc.constantFrom('NE', 'LT', 'LE', 'EQ', 'GE', 'GT', 'MASKED_EQ').map((name) => `SCMP_CMP_${name}`),
  value: number,
  valueTwo: fc.option(number, { nil: undefined }),
})
/** Few names, so that rules meet. */
const names = fc.uniqueArray(
  fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom('read', 'write', 'close', 'socket', 'clone', 'personality', 'mseal') },
    { weight: 1, arbitrary: fc.constantFrom(...syscallNumbers('x64').keys()) },
    { weight: 1, arbitrary: fc.constantFrom('nonsense', 'chown32') },
  ),
  { minLength: 1, maxLength: 5 },
)
const requirement = fc.record(
  {
    caps: fc.uniqueArray(fc.constantFrom('CAP_BPF', 'CAP_SYSLOG', 'CAP_SYS_ADMIN'), { maxLength: 2 }),
    arches: fc.uniqueArray(fc.constantFrom('amd64', 'arm64', 's390x'), { maxLength: 2 }),
    minKernel: fc.constantFrom('4.8', '5.12', '5.13', '6.0'),
  },
  { requiredKeys: [] },
)
const rule: fc.Arbitrary<JsonRule> = fc
  .record({
    names,
    action,
    args: fc.array(argument, { maxLength: 3 }),
    includes: fc.option(requirement, { nil: undefined, freq: 4 }),
    excludes: fc.option(requirement, { nil: undefined, freq: 4 }),
  })
  .map(({ action, ...rest }) => ({ ...rest, action: `SCMP_ACT_${action.name}`, errnoRet: action.errno }))
const profile: fc.Arbitrary<JsonProfile> = fc
  .record({ action, syscalls: fc.array(rule, { maxLength: 12 }) })
  .map(({ action, syscalls }) => ({
    defaultAction: `SCMP_ACT_${action.name}`,
    defaultErrnoRet: action.errno,
    syscalls,
  }))
/** Rules that look at the first bits of one argument's lower word. */
const blocks: fc.Arbitrary<JsonProfile> = fc
  .array(fc.record({ bits: fc.nat({ max: 32 }), start: interesting, action }), { minLength: 1, maxLength: 12 })
  .map((list) => ({
    defaultAction: 'SCMP_ACT_ERRNO',
    syscalls: list.map(({ bits, start, action }) => ({
      names: ['socket'],
      action: `SCMP_ACT_${action.name}`,
      errnoRet: action.errno,
      args: [{ index: 2, op: 'SCMP_CMP_MASKED_EQ', value: 2 ** 32 - 2 ** bits, valueTwo: start }],
    })),
  }))
const container = fc.record({
  arch: fc.constantFrom<Architecture>('x64', 'arm64'),
  capabilities: fc.subarray(['CAP_BPF', 'CAP_SYSLOG', 'CAP_SYS_ADMIN']),
  kernel: fc.constantFrom<[number, number]>([5, 12], [5, 13], [6, 1]),
})

/** Calls at the edges of what a profile says. */
function edges({ syscalls }: JsonProfile, arch: Architecture, seed: number): Call[] {
  const numbers = syscalls.flatMap(({ names = [] }) => names).map((name) => syscallNumbers(arch).get(name) ?? 9999)
  const near = [0, 471, 472, 0x40000000, 0xffffffff, ...numbers.flatMap((n) => [n, n, n, n, n, n - 1, n + 1])]
  const values = syscalls.flatMap(({ args }) => (args ?? []).flatMap(({ value, valueTwo = 0 }) => [value, valueTwo]))
  const pool = [0n, ...values.map(BigInt).flatMap((v) => [v - 1n, v, v, v + 1n, v ^ (1n << 32n), v & 0xffffffffn])]
  let state = seed >>> 0
  const pick = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return BigInt.asUintN(64, pool[(state >>> 8) % pool.length] as bigint)
  }
  const own = near
    .filter((number) => number >= 0)
    .map((number) => ({ arch: AUDIT_ARCH[arch], number, args: Array.from({ length: 6 }, pick) }))
  return [...own, { arch: AUDIT_ARCH.i386, number: near.at(-1) as number }]
}

describe('any profile', () => {
  test('is compiled to what it says', () => {
    fc.assert(
      fc.property(
        fc.oneof({ weight: 4, arbitrary: profile }, blocks),
        container,
        fc.integer(),
        (profile, container, seed) => {
          const filter = compileFilter(parseDockerProfile(profile), container)
          checkFilter(filter)
          const run = runnerOf(filter)
          const expected = oracle(profile, { ...container, names: NAMES[container.arch] })
          for (const call of edges(profile, container.arch, seed)) {
            const { action } = run(call)
            if (action !== expected(call)) expect([call, action]).toEqual([call, expected(call)])
          }
        },
      ),
      { numRuns: 1000, interruptAfterTimeLimit: 20_000, markInterruptAsFailure: true },
    )
  })

  test('is the same filter by way of its OCI form', () => {
    fc.assert(
      fc.property(profile, container, (profile, container) => {
        const parsed = parseDockerProfile(profile)
        const spec = toSpecSeccomp(parsed, container)
        expect(compileFilter(parseSpecSeccomp(spec), container)).toEqual(compileFilter(parsed, container))
      }),
    )
  })
})
