import { readdirSync, readFileSync } from 'node:fs'
import { release } from 'node:os'
import path from 'node:path'
import { Image, type RunOptions, run } from '../../../lib/index.js'
import { defaultProfile } from '../../../lib/seccomp/default.js'
import { defaultFilter } from '../../../lib/seccomp/filters.js'
import type { Architecture } from '../../../lib/seccomp/profile.js'
import { toSpecSeccomp } from '../../../lib/seccomp/spec.js'
import { syscallNumbers } from '../../../lib/seccomp/syscalls.js'
import { chooseCapabilities, DEFAULT_CAPABILITIES } from '../../../lib/spec/capabilities.js'
import { AUDIT_ARCH } from '../../support/bpf.js'
import { compileProgram } from '../../support/program.js'
import { actionValue, type JsonProfile, oracle } from '../../support/seccomp-oracle.js'

const arch = process.arch as Architecture
const numbers = syscallNumbers(arch)
const names = new Map([...numbers].map(([name, number]) => [number, name]))
const nr = (name: string) => numbers.get(name) as number

/** The kernel asks no filter about these (seccomp_uprobe_exception, 6.14). */
const EXEMPT = ['uretprobe', 'uprobe']

/** Of no call of the kernel, so an answer with it comes from the filter. */
const UNUSUAL = 999
const ALLOW = actionValue('SCMP_ACT_ALLOW')
const ALL_BITS = (1n << 64n) - 1n

const EPERM = 1
const ENOSYS = 38

/** What the build of the package does: tsup.config.ts. */
test.each<Architecture>(['x64', 'arm64'])('the package has the default filter for %s in it', (arch) => {
  const filter = Buffer.from(defaultFilter(arch, DEFAULT_CAPABILITIES)).toString('base64')
  const dist = path.join(import.meta.dirname, '../../../dist')
  for (const extension of ['.js', '.cjs']) {
    const files = readdirSync(dist).filter((name) => name.endsWith(extension))
    expect(files.some((name) => readFileSync(path.join(dist, name), 'utf8').includes(filter))).toBe(true)
  }
})

describe('seccomp', () => {
  let image: Image
  let program: Buffer
  beforeAll(async () => {
    image = await Image.host()
    program = compileProgram('syscalls')
  })

  const start = (options: RunOptions, ...calls: string[]) =>
    run(image, ['/syscalls', ...calls], { ...options, files: { '/syscalls': { content: program, mode: 0o755 } } })

  /** Errors by call, as the program prints them; undefined: no answer. */
  async function answers(options: RunOptions, ...calls: string[]): Promise<Array<[number, number | undefined]>> {
    const { stdout, stderr, exitCode } = await start(options, ...calls)
    expect({ stderr, exitCode }).toEqual({ stderr: '', exitCode: 0 })
    return stdout
      .trim()
      .split('\n')
      .map((line) => line.split(' '))
      .map(([number, error]) => [Number(number), error === '-' ? undefined : Number(error)])
  }

  /** The default profile for a container, but for the error that it refuses with, and a judge of its decisions. */
  function unusual(given: { add?: string[]; drop?: string[] }) {
    const capabilities = chooseCapabilities(given.add, given.drop)
    const spec = toSpecSeccomp(defaultProfile(), { arch, capabilities })
    const seccomp = { ...spec, defaultErrnoRet: UNUSUAL } as JsonProfile
    const [major = 0, minor = 0] = release().split('.').map(Number)
    const decide = oracle(seccomp, { arch, capabilities, kernel: [major, minor], names })
    const expected = (number: number, ...args: bigint[]) => {
      const action = decide({ arch: AUDIT_ARCH[arch], number, args })
      return action === ALLOW ? 'allowed' : action & 0xffff
    }
    return { options: { security: { capabilities: given, seccomp: { ...seccomp } } }, expected }
  }

  /** ENOSYS is the kernel's own answer too, for calls that it lacks: told apart by what the profile says. */
  const seen = (error: number | undefined, expected: number | string) =>
    error === UNUSUAL || (error === ENOSYS && expected === ENOSYS) ? error : 'allowed'

  test.each<[string, { add?: string[]; drop?: string[] }]>([
    ['the default capabilities', {}],
    ['no capabilities', { drop: ['ALL'] }],
    ['more capabilities', { add: ['SYS_ADMIN', 'SYS_PTRACE', 'SYS_NICE', 'DAC_READ_SEARCH'] }],
  ])('every call is answered as the default profile says, with %s', async (_, given) => {
    const { options, expected } = unusual(given)
    const all = await answers(options, '0-480')
    expect(all).toHaveLength(481)
    const counts = { allowed: 0, refused: 0 }
    for (const [number, error] of all) {
      if (EXEMPT.includes(names.get(number) ?? '')) continue
      const args = Array.from({ length: 6 }, () => ALL_BITS)
      const wanted = expected(number, ...args)
      expect([number, names.get(number), seen(error, wanted)]).toEqual([number, names.get(number), wanted])
      counts[wanted === 'allowed' ? 'allowed' : 'refused']++
    }
    expect(counts.allowed).toBeGreaterThan(250)
    expect(counts.refused).toBeGreaterThan(60)
  })

  test('arguments are looked at', async () => {
    const { options, expected } = unusual({})
    const calls: Array<[string, bigint]> = [
      ...[0n, 1n, 2n, 16n, 37n, 38n, 39n, 40n, 41n, 45n, 46n, 0x100000026n, 0x100000028n, 0x100000001n].map(
        (family): [string, bigint] => ['socket', family],
      ),
      ...[0n, 1n, 8n, 9n, 0x20000n, 0x20008n, 0x40000n, 0xffffffffn, 0x100000008n].map((persona): [string, bigint] => [
        'personality',
        persona,
      ]),
      ...[17n, 0x11n + 0x80n, ...[17, 25, 26, 27, 28, 29, 30].map((bit) => (1n << BigInt(bit)) + 17n)].map(
        (flags): [string, bigint] => ['clone', flags],
      ),
      ['clone3', 0n],
    ]
    const all = await answers(options, ...calls.map(([name, argument]) => `${nr(name)}:${argument}`))
    const decisions = all.map(([number, error], i) => {
      const [name, argument] = calls[i] as [string, bigint]
      const wanted = expected(number, argument, 0n, 0n, 0n, 0n, 0n)
      expect([name, argument, seen(error, wanted)]).toEqual([name, argument, wanted])
      return wanted
    })
    expect(decisions).toHaveLength(calls.length)
    expect(new Set(decisions)).toEqual(new Set(['allowed', UNUSUAL, ENOSYS]))
  })

  test('what is refused is EPERM, what is newer than the profile and x32 are ENOSYS', async () => {
    const refused = [nr('unshare'), nr('bpf'), nr('keyctl'), nr('io_uring_setup'), nr('socket')]
    const calls = [`${nr('socket')}:38`, ...refused.slice(0, 4).map(String)]
    const missing = ['467', '468', '471', '600', ...(arch === 'x64' ? [String(0x40000000 + nr('getpid'))] : [])]
    const errors = (await answers({}, ...calls, ...missing)).map(([, error]) => error)
    expect(errors).toEqual([...calls.map(() => EPERM), ...missing.map(() => ENOSYS)])
  })

  if (arch === 'x64')
    test('a call by the gate of 32-bit programs kills the process', async () => {
      expect(await start({}, 'i386')).toMatchObject({ signal: 'SIGSYS', stdout: '' })
    })

  test.each<[string, RunOptions, string]>([
    ['by default', {}, '2'],
    ['unconfined', { security: { seccomp: 'unconfined' } }, '0'],
    ['without no_new_privs', { security: { noNewPrivileges: false } }, '2'],
    ['for another user', { user: 'nobody' }, '2'],
    ['for another user without no_new_privs', { user: 'nobody', security: { noNewPrivileges: false } }, '2'],
    ['below an init', { init: true }, '2'],
    ['on a terminal', { tty: true }, '2'],
  ])('the mode of the program: %s', async (_, options, mode) => {
    const { stdout, exitCode } = await run(image, ['grep', '-w', 'Seccomp', '/proc/self/status'], options)
    expect({ mode: stdout.split(/\s+/)[1], exitCode }).toEqual({ mode, exitCode: 0 })
  })

  test('a profile of the caller, in the format of OCI', async () => {
    const seccomp = {
      defaultAction: 'SCMP_ACT_ALLOW',
      flags: ['SECCOMP_FILTER_FLAG_LOG', 'SECCOMP_FILTER_FLAG_SPEC_ALLOW'],
      syscalls: [
        { names: ['mkdirat'], action: 'SCMP_ACT_ERRNO', errnoRet: UNUSUAL },
        { names: ['getpriority'], action: 'SCMP_ACT_KILL_PROCESS', args: [{ index: 0, value: 7, op: 'SCMP_CMP_EQ' }] },
        { names: ['setpriority'], action: 'SCMP_ACT_TRAP' },
      ],
    }
    const calls = ['mkdirat:0', 'getpriority:7', 'getpriority:8', 'setpriority:0'].map((text) => {
      const [name, argument] = text.split(':') as [string, string]
      return `${nr(name)}:${argument}`
    })
    const errors = (await answers({ security: { seccomp } }, ...calls)).map(([, error]) => error)
    expect(errors).toEqual([UNUSUAL, undefined, 22, undefined])
  })

  test('a profile is in force when the program is executed', async () => {
    const seccomp = { defaultAction: 'SCMP_ACT_ALLOW', syscalls: [{ names: ['execve'], action: 'SCMP_ACT_ERRNO' }] }
    expect(await start({ security: { seccomp } }, '0')).toMatchObject({ exitCode: 126, stdout: '' })
    const kill = { defaultAction: 'SCMP_ACT_ALLOW', syscalls: [{ names: ['execve'], action: 'SCMP_ACT_KILL_PROCESS' }] }
    expect(await start({ security: { seccomp: kill } }, '0')).toMatchObject({ signal: 'SIGSYS', stdout: '' })
  })
})
