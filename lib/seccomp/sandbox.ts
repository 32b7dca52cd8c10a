/**
 * The filter of programs that run without namespaces, beside the usual one: what Landlock has no rule for (landlock(7),
 * "Current limitations"), and what namespaces would keep from reaching others.
 */
import { compileFilter } from './compile.js'
import { ALLOW, type Architecture, type Condition, errno, type Rule } from './profile.js'

const REFUSED = errno(1) // EPERM
const DENIED = errno(13) // EACCES
const UNKNOWN = errno(38) // ENOSYS

export interface SandboxFilterOptions {
  /** TCP and UDP are the host's; else there are no sockets at all. */
  network: boolean
  /** The user of the owner, whose files and processes would otherwise be the program's to change. */
  sameUser: boolean
  /** Version of Landlock's interface. */
  landlock: number
}

/** The kernel looks at the lower half of these arguments only, so a filter must, too. */
const is = (index: number, value: number, mask = 0xffffffff): Condition => ({
  index,
  op: 'MASKED_EQ',
  value: BigInt(mask),
  valueTwo: BigInt(value),
})
const isNot = (index: number, value: number): Condition => ({ index, op: 'NE', value: BigInt(value) })
const rule = (names: string, action = REFUSED, ...conditions: Condition[]): Rule => ({
  names: names.split(' '),
  action,
  conditions,
})

const TRUNCATING = 0o1000
const ACCESS_MODE = 3
/** CLONE_NEW* but the one for time, which is a signal's number in clone(2). */
const NEW_NAMESPACES = 0x7e020000
const TERMINAL = [0x5412, 0x541c] // TIOCSTI, TIOCLINUX
/** FS_IOC_SETFLAGS, FSSETXATTR, SETVERSION, ENABLE_VERITY, SET_ENCRYPTION_POLICY: for owners, however it is open. */
const FILE_ATTRIBUTES = [0x40086602, 0x401c5820, 0x40087602, 0x40806685, 0x800c6613]
const TO_OWNER = [0x8901, 0x8902] // FIOSETOWN, SIOCSPGRP
const F_SETOWN = [8, 15, 10] // F_SETOWN, F_SETOWN_EX, F_SETSIG
const [DATAGRAM, RAW, TYPE] = [2, 3, 0xf]
const [INET, INET6] = [2, 10]

function rules({ network, sameUser, landlock }: SandboxFilterOptions): Rule[] {
  return [
    // A file of a socket is reached whatever Landlock says of its path; so is one by a pair of datagram sockets.
    network ? rule('socket', DENIED, isNot(0, INET), isNot(0, INET6)) : rule('socket', DENIED),
    rule('socketpair', DENIED, is(1, DATAGRAM, TYPE)),
    rule('socketpair', DENIED, is(1, RAW, TYPE)),
    // These are everybody's without a namespace.
    rule('shmget shmat shmctl semget semop semtimedop semctl msgget msgsnd msgrcv msgctl mq_open mq_unlink'),
    rule('inotify_add_watch', DENIED),
    rule('io_uring_setup io_uring_enter io_uring_register unshare setns bpf perf_event_open userfaultfd'),
    rule('keyctl add_key request_key'),
    rule('clone3', UNKNOWN),
    ...bits(NEW_NAMESPACES).map((bit) => rule('clone', REFUSED, is(0, bit, bit))),
    ...TERMINAL.map((request) => rule('ioctl', REFUSED, is(1, request))),
    // Limits and priorities of others.
    rule('prlimit64 sched_setaffinity sched_setscheduler sched_setparam sched_setattr', REFUSED, isNot(0, 0)),
    rule('setpriority', REFUSED, isNot(0, 0)),
    rule('setpriority', REFUSED, isNot(1, 0)),
    rule('ioprio_set', REFUSED, isNot(0, 1)),
    rule('ioprio_set', REFUSED, isNot(1, 0)),
    ...(sameUser
      ? [
          rule('chmod fchmod fchmodat fchmodat2 chown fchown lchown fchownat utime utimes futimesat utimensat'),
          rule(
            'setxattr lsetxattr fsetxattr setxattrat removexattr lremovexattr fremovexattr removexattrat file_setattr',
          ),
          ...FILE_ATTRIBUTES.map((request) => rule('ioctl', REFUSED, is(1, request))),
        ]
      : []),
    ...(landlock < 3
      ? [
          rule('truncate', DENIED),
          rule('openat2', UNKNOWN),
          ...[0, ACCESS_MODE].flatMap((mode) => [
            rule('open', DENIED, is(1, TRUNCATING | mode, TRUNCATING | ACCESS_MODE)),
            rule('openat', DENIED, is(2, TRUNCATING | mode, TRUNCATING | ACCESS_MODE)),
          ]),
        ]
      : []),
    // Later versions keep signals in; here the process group is what everything is ended by.
    ...(landlock < 6
      ? [
          rule('kill tkill tgkill rt_sigqueueinfo rt_tgsigqueueinfo pidfd_send_signal setsid setpgid'),
          ...F_SETOWN.map((command) => rule('fcntl', REFUSED, is(1, command))),
          ...TO_OWNER.map((request) => rule('ioctl', REFUSED, is(1, request))),
        ]
      : []),
  ]
}

function bits(mask: number): number[] {
  return Array.from({ length: 31 }, (_, i) => 2 ** i).filter((bit) => mask & bit)
}

const filters = new Map<string, Uint8Array>()

/** Each is made once; do not write to it. */
export function sandboxFilter(arch: Architecture, options: SandboxFilterOptions): Uint8Array {
  const key = JSON.stringify([arch, options.network, options.sameUser, Math.min(options.landlock, 6)])
  let filter = filters.get(key)
  if (!filter) {
    filter = compileFilter({ defaultAction: ALLOW, rules: rules(options) }, { arch, capabilities: [] })
    filters.set(key, filter)
  }
  return filter
}
