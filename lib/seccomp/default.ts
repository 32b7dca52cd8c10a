/**
 * Docker's default profile (moby/profiles, seccomp/default.json, June 2026) for x86_64 and aarch64: an allow-list,
 * everything else is EPERM.
 *
 * The same decisions as Docker's, with these differences:
 * - Names that neither architecture has are left out. arch_prctl and modify_ldt, which Docker ties to x86, are
 *   listed plainly: only its table has them. `minKernel: 4.8` always holds, as caisson needs Linux 5.12.
 * - AF_ALG and AF_VSOCK are refused whatever the upper half of the argument is: see socketFamilies.
 * - 32-bit programs (i386, x32, arm) are refused altogether: see compile.ts.
 */
import type { Capability } from '../spec/capabilities.js'
import { ALLOW, type Condition, errno, type Profile, type Rule } from './profile.js'

const EPERM = 1
const ENOSYS = 38

/** Allowed with any arguments, by subject. */
const ALLOWED = `
open openat openat2 creat close close_range read write readv writev pread64 pwrite64 preadv pwritev preadv2 pwritev2
lseek dup dup2 dup3 fcntl ioctl flock pipe pipe2 sendfile splice tee vmsplice copy_file_range fallocate fadvise64
readahead truncate ftruncate fsync fdatasync sync syncfs sync_file_range name_to_handle_at umask

stat fstat lstat newfstatat statx statfs fstatfs statmount listmount access faccessat faccessat2 readlink readlinkat
getdents getdents64 getcwd chdir fchdir chmod fchmod fchmodat fchmodat2 chown fchown lchown fchownat utime utimes
futimesat utimensat link linkat unlink unlinkat symlink symlinkat rename renameat renameat2 mkdir mkdirat rmdir mknod
mknodat
getxattr lgetxattr fgetxattr getxattrat setxattr lsetxattr fsetxattr setxattrat listxattr llistxattr flistxattr
listxattrat removexattr lremovexattr fremovexattr removexattrat
inotify_init inotify_init1 inotify_add_watch inotify_rm_watch fanotify_mark

select pselect6 poll ppoll epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait epoll_pwait2 epoll_ctl_old
epoll_wait_old eventfd eventfd2 signalfd signalfd4 io_setup io_destroy io_submit io_cancel io_getevents io_pgetevents

mmap munmap mprotect mremap msync mincore madvise brk mlock mlock2 mlockall munlock munlockall remap_file_pages
memfd_create memfd_secret mseal map_shadow_stack pkey_alloc pkey_free pkey_mprotect membarrier cachestat
process_mrelease

fork vfork execve execveat exit exit_group wait4 waitid getpid getppid gettid getpgid setpgid getpgrp getsid setsid
getrlimit setrlimit prlimit64 getrusage times sysinfo uname getcpu getpriority setpriority ioprio_get ioprio_set prctl
arch_prctl modify_ldt get_thread_area set_thread_area set_tid_address get_robust_list set_robust_list rseq
restart_syscall uretprobe pidfd_open ptrace process_vm_readv process_vm_writev
sched_yield sched_getparam sched_setparam sched_getscheduler sched_setscheduler sched_getattr sched_setattr
sched_getaffinity sched_setaffinity sched_get_priority_max sched_get_priority_min sched_rr_get_interval
futex futex_waitv futex_wait futex_wake futex_requeue

kill tkill tgkill pause alarm rt_sigaction rt_sigprocmask rt_sigpending rt_sigsuspend rt_sigtimedwait rt_sigreturn
rt_sigqueueinfo rt_tgsigqueueinfo sigaltstack pidfd_send_signal

getuid geteuid getgid getegid getresuid getresgid getgroups setuid setgid setreuid setregid setresuid setresgid setgroups
setfsuid setfsgid capget capset seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self

time gettimeofday clock_gettime clock_getres clock_nanosleep nanosleep adjtimex clock_adjtime getitimer setitimer
timer_create timer_settime timer_gettime timer_getoverrun timer_delete timerfd_create timerfd_settime timerfd_gettime
getrandom

socketpair bind listen accept accept4 connect shutdown getsockname getpeername getsockopt setsockopt sendto recvfrom
sendmsg recvmsg sendmmsg recvmmsg
msgget msgctl msgsnd msgrcv semget semctl semop semtimedop shmget shmctl shmat shmdt
mq_open mq_unlink mq_timedsend mq_timedreceive mq_notify mq_getsetattr
`

/** Allowed in addition to those who hold a capability. */
const BY_CAPABILITY: Partial<Record<Capability, string>> = {
  CAP_DAC_READ_SEARCH: 'open_by_handle_at',
  CAP_SYS_ADMIN: `
    bpf clone clone3 fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr lsm_list_modules
    lsm_set_self_attr mount mount_setattr move_mount open_tree perf_event_open quotactl quotactl_fd setdomainname
    sethostname setns syslog umount2 unshare`,
  CAP_SYS_BOOT: 'reboot',
  CAP_SYS_CHROOT: 'chroot',
  CAP_SYS_MODULE: 'delete_module init_module finit_module',
  CAP_SYS_PACCT: 'acct',
  CAP_SYS_PTRACE: 'kcmp pidfd_getfd process_madvise',
  CAP_SYS_RAWIO: 'iopl ioperm',
  CAP_SYS_TIME: 'settimeofday clock_settime',
  CAP_SYS_TTY_CONFIG: 'vhangup',
  CAP_SYS_NICE: 'get_mempolicy mbind set_mempolicy set_mempolicy_home_node',
  CAP_SYSLOG: 'syslog',
  CAP_BPF: 'bpf',
  CAP_PERFMON: 'perf_event_open',
}

/** AF_ALG (CVE-2026-31431) and AF_VSOCK, in this order. */
const REFUSED_FAMILIES = [38, 40] as const

const FAMILY_BITS = 32

/**
 * All address families but those, as blocks of numbers that begin with the same bits. The kernel takes the low 32 bits
 * of the argument as the family, and so do these rules: with Docker's, which compare all 64, 2^32 + 38 opens an AF_ALG
 * socket. One test a rule, since runc and libseccomp take two of the same argument for alternatives.
 */
function socketFamilies(): Condition[] {
  const conditions: Condition[] = []
  for (const [i, end] of [...REFUSED_FAMILIES, 2 ** FAMILY_BITS].entries())
    for (let at = i === 0 ? 0 : (REFUSED_FAMILIES[i - 1] as number) + 1; at < end; ) {
      let size = 1
      while (at % (size * 2) === 0 && at + size * 2 <= end) size *= 2
      conditions.push({
        index: 0,
        op: 'MASKED_EQ',
        value: BigInt(2 ** FAMILY_BITS - size),
        valueTwo: BigInt(at),
      })
      at += size
    }
  return conditions
}

/** PER_LINUX, PER_LINUX32, both with UNAME26, and the query. */
const PERSONALITIES: Condition[] = [0n, 8n, 0x20000n, 0x20008n, 0xffffffffn].map((value) => ({
  index: 0,
  op: 'EQ',
  value,
}))

/** CLONE_NEW*, but for CLONE_NEWTIME, which clone(2) cannot make. */
const NAMESPACE_FLAGS = 0x7e020000n

let profile: Profile | undefined

/** Docker's default profile. */
export function defaultProfile(): Profile {
  profile ??= { defaultAction: errno(EPERM), flags: [], rules: rules() }
  return profile
}

function rules(): Rule[] {
  const allow = (text: string, conditions: Condition[] = []): Rule => ({
    names: text.trim().split(/\s+/),
    action: ALLOW,
    conditions,
  })
  const unprivileged = { excludes: { caps: ['CAP_SYS_ADMIN'] } }
  return [
    allow(ALLOWED),
    ...socketFamilies().map((family) => allow('socket', [family])),
    ...PERSONALITIES.map((persona) => allow('personality', [persona])),
    ...Object.entries(BY_CAPABILITY).map(([capability, names]) => ({
      ...allow(names),
      includes: { caps: [capability] },
    })),
    { ...allow('clone', [{ index: 0, op: 'MASKED_EQ', value: NAMESPACE_FLAGS, valueTwo: 0n }]), ...unprivileged },
    // Its flags are in memory, where a filter cannot look; C libraries then use clone(2).
    { names: ['clone3'], action: errno(ENOSYS), conditions: [], ...unprivileged },
  ]
}
