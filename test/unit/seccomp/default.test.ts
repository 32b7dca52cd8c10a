import { compileFilter } from '../../../lib/seccomp/compile.js'
import { defaultProfile } from '../../../lib/seccomp/default.js'
import { defaultFilter } from '../../../lib/seccomp/filters.js'
import type { Architecture } from '../../../lib/seccomp/profile.js'
import { syscallNumbers } from '../../../lib/seccomp/syscalls.js'
import { CAPABILITIES, DEFAULT_CAPABILITIES } from '../../../lib/spec/capabilities.js'
import { AUDIT_ARCH, checkFilter, runFilter } from '../../support/bpf.js'

const ALLOW = 0x7fff0000
const EPERM = 0x50001
const ENOSYS = 0x50026
const KILL_PROCESS = 0x80000000

/** What Docker's profile keeps from containers without any capability; the lib has the list of what it lets through. */
const REFUSED = `
acct add_key afs_syscall bpf chroot clock_settime create_module delete_module fanotify_init file_getattr
file_setattr finit_module fsconfig fsmount fsopen fspick get_kernel_syms get_mempolicy getpmsg init_module
io_uring_enter io_uring_register io_uring_setup ioperm iopl kcmp kexec_file_load kexec_load keyctl listns
lookup_dcookie lsm_get_self_attr lsm_list_modules lsm_set_self_attr mbind migrate_pages mount mount_setattr
move_mount move_pages nfsservctl open_by_handle_at open_tree open_tree_attr perf_event_open pidfd_getfd pivot_root
process_madvise putpmsg query_module quotactl quotactl_fd reboot request_key rseq_slice_yield security
set_mempolicy set_mempolicy_home_node setdomainname sethostname setns settimeofday swapoff swapon sysfs syslog
tuxcall umount2 unshare uprobe uselib userfaultfd ustat vhangup vserver _sysctl
`
  .trim()
  .split(/\s+/)

/** What each capability adds. */
const GRANTED: Record<string, string> = {
  CAP_DAC_READ_SEARCH: 'open_by_handle_at',
  CAP_SYS_ADMIN: `bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr
    lsm_list_modules lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl quotactl_fd
    setdomainname sethostname setns syslog umount2 unshare`,
  CAP_SYS_BOOT: 'reboot',
  CAP_SYS_CHROOT: 'chroot',
  CAP_SYS_MODULE: 'delete_module finit_module init_module',
  CAP_SYS_PACCT: 'acct',
  CAP_SYS_PTRACE: 'kcmp pidfd_getfd process_madvise',
  CAP_SYS_RAWIO: 'ioperm iopl',
  CAP_SYS_TIME: 'clock_settime settimeofday',
  CAP_SYS_TTY_CONFIG: 'vhangup',
  CAP_SYS_NICE: 'get_mempolicy mbind set_mempolicy set_mempolicy_home_node',
  CAP_SYSLOG: 'syslog',
  CAP_BPF: 'bpf',
  CAP_PERFMON: 'perf_event_open',
}

describe.each<Architecture>(['x64', 'arm64'])('default filter for %s', (arch) => {
  const numbers = syscallNumbers(arch)
  const names = new Map([...numbers].map(([name, number]) => [number, name]))
  const filterFor = (...capabilities: string[]) => compileFilter(defaultProfile(), { arch, capabilities })
  const bare = filterFor()
  const ask = (filter: Uint8Array, number: number, ...args: bigint[]) =>
    runFilter(filter, { arch: AUDIT_ARCH[arch], number, args }).action
  const askName = (filter: Uint8Array, name: string, ...args: bigint[]) =>
    ask(filter, numbers.get(name) as number, ...args)

  test('is a program that the kernel takes, and a small one', () => {
    const filter = defaultFilter(arch, DEFAULT_CAPABILITIES)
    checkFilter(filter)
    expect(filter.length / 8).toBeLessThan(90)
  })

  test('decides by number', () => {
    const conditional = new Set(['socket', 'personality', 'clone', 'clone3'])
    for (let number = 0; number <= 600; number++) {
      const name = names.get(number)
      if (name && conditional.has(name)) continue
      const expected = number > 466 ? ENOSYS : !name || REFUSED.includes(name) ? EPERM : ALLOW
      expect([number, name, ask(bare, number)]).toEqual([number, name, expected])
    }
  })

  test.each(CAPABILITIES)('%s adds what it is for', (capability) => {
    const filter = filterFor(capability)
    const expected = (GRANTED[capability] ?? '')
      .trim()
      .split(/\s+/)
      .filter((name) => numbers.has(name))
    // clone is asked for a namespace.
    const added = [...numbers.keys()].filter(
      (name) => askName(bare, name, 0x20000n) !== ALLOW && askName(filter, name, 0x20000n) === ALLOW,
    )
    const gone = [...numbers.keys()].filter(
      (name) => askName(bare, name, 0n) === ALLOW && askName(filter, name, 0n) !== ALLOW,
    )
    expect(added.sort()).toEqual(expected.sort())
    expect(gone).toEqual([])
  })

  test.each([
    ['AF_UNIX', 1n, ALLOW],
    ['AF_INET', 2n, ALLOW],
    ['AF_CAIF', 37n, ALLOW],
    ['AF_ALG', 38n, EPERM],
    ['AF_NFC', 39n, ALLOW],
    ['AF_VSOCK', 40n, EPERM],
    ['AF_KCM', 41n, ALLOW],
    ['AF_MCTP', 45n, ALLOW],
    ['a family that there is not', 46n, ALLOW],
    ['the last number of 32 bits', 0xffffffffn, ALLOW],
    ['AF_ALG in the bits that the kernel looks at', 0x100000026n, EPERM],
    ['AF_VSOCK in the bits that the kernel looks at', 0xffffffff00000028n, EPERM],
    ['AF_INET with bits that the kernel does not look at', 0x100000002n, ALLOW],
    ['AF_ALG with all of those', 0xffffffff00000026n, EPERM],
  ])('socket of %s', (_, family, expected) => {
    expect(askName(bare, 'socket', family)).toBe(expected)
  })

  test.each([
    [0n, ALLOW],
    [8n, ALLOW],
    [0x20000n, ALLOW],
    [0x20008n, ALLOW],
    [0xffffffffn, ALLOW],
    [1n, EPERM],
    [7n, EPERM],
    [9n, EPERM],
    [0x40000n, EPERM], // ADDR_NO_RANDOMIZE
    [0xfffffffen, EPERM],
    [0x100000000n, EPERM],
    [0xffffffffffffffffn, EPERM],
  ])('personality %d', (persona, expected) => {
    expect(askName(bare, 'personality', persona)).toBe(expected)
  })

  test('clone makes processes and threads, but no namespaces', () => {
    expect(askName(bare, 'clone', 17n)).toBe(ALLOW)
    expect(askName(bare, 'clone', 0x3d0f00n)).toBe(ALLOW) // a thread of glibc
    expect(askName(bare, 'clone', 0xffffffff00000011n)).toBe(ALLOW) // the upper half means nothing
    for (let bit = 0n; bit < 32n; bit++) {
      const namespace = [17n, 25n, 26n, 27n, 28n, 29n, 30n].includes(bit)
      expect([bit, askName(bare, 'clone', 1n << bit)]).toEqual([bit, namespace ? EPERM : ALLOW])
    }
    expect(askName(bare, 'clone3')).toBe(ENOSYS)
  })

  test('refuses other architectures and x32', () => {
    for (const [name, value] of Object.entries(AUDIT_ARCH))
      if (name !== arch)
        expect(runFilter(bare, { arch: value, number: numbers.get('read') as number }).action).toBe(KILL_PROCESS)
    for (const number of [0, 1, 41, 520]) expect(ask(bare, 0x40000000 + number)).toBe(ENOSYS)
    for (const number of [0x3fffffff, 0x7fffffff, 0x80000000, 0xffffffff]) expect(ask(bare, number)).toBe(ENOSYS)
  })

  test('is made once for a set of capabilities, in any order', () => {
    const filter = defaultFilter(arch, ['CAP_BPF', 'CAP_SYSLOG'])
    expect(defaultFilter(arch, ['CAP_SYSLOG', 'CAP_BPF'])).toBe(filter)
    expect(filter).toEqual(filterFor('CAP_BPF', 'CAP_SYSLOG'))
    expect(defaultFilter(arch, [])).toEqual(bare)
  })

  test('comes from the build for the default capabilities alone', () => {
    const built = globalThis as { CAISSON_DEFAULT_FILTERS?: Record<string, string> }
    built.CAISSON_DEFAULT_FILTERS = { [arch]: Buffer.from('made at build').toString('base64') }
    try {
      jest.isolateModules(() => {
        const fresh = jest.requireActual<typeof import('../../../lib/seccomp/filters.js')>(
          '../../../lib/seccomp/filters.js',
        )
        expect(Buffer.from(fresh.defaultFilter(arch, DEFAULT_CAPABILITIES)).toString()).toBe('made at build')
        expect(fresh.defaultFilter(arch, [])).toEqual(bare)
      })
    } finally {
      delete built.CAISSON_DEFAULT_FILTERS
    }
  })
})
