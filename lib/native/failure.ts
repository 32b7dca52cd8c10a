/** Turns a failure record of the addon into an Error with advice. */
import { constants } from 'node:os'
import { getSystemErrorName } from 'node:util'
import { CaissonError, type ErrorCode } from '../errors.js'
import type { NativeFailure } from './addon.js'

/** What a record of a plan was for. */
export interface Note {
  operation: string
  stage: string
  subject: string
}

interface Advice {
  code: ErrorCode
  hint: string
}

const {
  E2BIG,
  EOVERFLOW,
  EPERM,
  EACCES,
  ENOENT,
  ENOSPC,
  EINVAL,
  ENOSYS,
  EMFILE,
  ENFILE,
  ENOMEM,
  EAGAIN,
  ELOOP,
  ETIMEDOUT,
  EBUSY,
  ECONNRESET,
  ESRCH,
  ERANGE,
  ECONNREFUSED,
} = constants.errno

export function errorFromFailure(failure: NativeFailure, notes: readonly Note[] = []): CaissonError {
  const note = failure.record >= 0 ? notes[failure.record] : undefined
  const stage = note?.stage ?? failure.stage
  const name = failure.errno > 0 ? errnoName(failure.errno) : ''
  const { code, hint } = advise(failure, note, stage)
  const about = failure.path && !stage.includes(failure.path) ? ` (${failure.path})` : ''
  const call = failure.syscall ? `${failure.syscall}: ` : ''
  return new CaissonError(code, `${stage}: ${call}${describe(failure.errno)}${about}`, {
    stage,
    hint,
    cause: { code: name, errno: -failure.errno, syscall: failure.syscall, path: failure.path },
  })
}

function errnoName(errno: number): string {
  try {
    return getSystemErrorName(-errno)
  } catch {
    return `E${errno}`
  }
}

const WORDS: Record<string, string> = {
  EPERM: 'operation not permitted',
  EACCES: 'permission denied',
  ENOENT: 'no such file or directory',
  ENOSPC: 'no space left, or a limit of the kernel is reached',
  EINVAL: 'invalid argument',
  ENOSYS: 'the kernel does not have this call',
  EMFILE: 'too many open files in this process',
  ENFILE: 'too many open files on this machine',
  ENOMEM: 'out of memory',
  EAGAIN: 'a limit of processes is reached',
  ELOOP: 'a symbolic link where none is allowed, or too many of them',
  ENOTDIR: 'not a directory',
  EISDIR: 'is a directory',
  ETIMEDOUT: 'timed out',
  ECANCELED: 'killed while it was being set up',
  E2BIG: 'too large',
  EFBIG: 'file too large',
  EBUSY: 'busy',
  EEXIST: 'exists already',
  EPROTO: 'damaged plan',
  ECONNRESET: 'the owner is gone',
}

function describe(errno: number): string {
  const name = errnoName(errno)
  return `${WORDS[name] ?? name}${WORDS[name] ? ` (${name})` : ''}`
}

function advise(failure: NativeFailure, note: Note | undefined, stage: string): Advice {
  const { errno, syscall } = failure
  if (errno === ENOSYS)
    return {
      code: 'ERR_CAISSON_UNSUPPORTED',
      hint: `caisson needs Linux 5.12 or later, and ${syscall} must not be forbidden by a filter around this process; run "caisson doctor".`,
    }
  if (errno === EMFILE || errno === ENFILE)
    return {
      code: 'ERR_CAISSON_RESOURCE_EXHAUSTED',
      hint: 'Raise the limit of open files (ulimit -n), or run fewer at a time.',
    }
  if (errno === ENOMEM) return { code: 'ERR_CAISSON_RESOURCE_EXHAUSTED', hint: 'Free memory, or raise limits.memory.' }
  if (errno === ETIMEDOUT)
    return {
      code: 'ERR_CAISSON_TIMEOUT',
      hint: 'A mount source or a hook did not answer, or a program stopped what was entering its container; look at the stage that is named.',
    }
  if (errno === EINVAL && syscall === 'mount_setattr' && /^(root|image|writable layer)/.test(stage))
    return {
      code: 'ERR_CAISSON_UNSUPPORTED',
      hint: 'A user namespace needs id-mapped mounts of the image, and its file system (or an older kernel) has none: keep CAISSON_ROOT on ext4, xfs or btrfs; tmpfs has them from Linux 6.3 on.',
    }
  if (errno === EOVERFLOW && /^(mounts|root|image|files|workdir)/.test(stage))
    return {
      code: 'ERR_CAISSON_PERMISSION',
      hint: 'A directory of the image belongs to a user or group that this user has no ids for (/etc/subuid, /etc/subgid): give Image.fromRootfs() an archive of it, or other owners.',
    }
  if (errno === EINVAL && /^set(groups|resuid|resgid)$/.test(syscall))
    return {
      code: 'ERR_CAISSON_PERMISSION',
      hint: 'The user namespace of the container has no such id: name another user or group, or raise what /etc/subuid and /etc/subgid give.',
    }
  const rule = RULES.find(([pattern]) => pattern.test(stage))
  if (rule) return rule[1](failure, note)
  if (errno === EPERM || errno === EACCES)
    return { code: 'ERR_CAISSON_PERMISSION', hint: 'Run as root, or see what is missing with "caisson doctor".' }
  return {
    code: 'ERR_CAISSON_SYSTEM',
    hint: 'Run "caisson doctor"; it tries what caisson needs and says what is missing.',
  }
}

const FILE_HINTS: Record<string, string> = {
  ENOENT: 'There is no such file in the container, or a directory on the way to it is missing or a dangling link.',
  EEXIST: 'It is there already: remove it first, or choose another name.',
  EISDIR: 'It is a directory: readdir() lists it, rm() with { recursive: true } removes it.',
  ENOTDIR: 'Something on the path is a file, not a directory.',
  ENOTEMPTY: 'Remove what is in the directory first, or use { recursive: true }.',
  ELOOP:
    'A symbolic link on the way leads into what is mounted there, or in a circle: give the path that is meant without it.',
  EPERM:
    'It belongs to somebody whom the user namespace of the container does not know, or is immutable: change it where it comes from.',
  EROFS: 'This part of the container cannot be written to; mount something writable there.',
}

/** Of the program itself, by its first words. */
function adviseExecution(errno: number, path: string): Advice {
  if (errno === ENOENT)
    return {
      code: 'ERR_CAISSON_COMMAND_NOT_FOUND',
      hint: `Check the spelling of ${path}, the PATH, and, for a script or a dynamic program, that its interpreter is in the image.`,
    }
  if (errno === E2BIG)
    return {
      code: 'ERR_CAISSON_INVALID_ARGUMENT',
      hint: 'The arguments and the environment are longer than the kernel takes: 128 KiB each, and together a quarter of the limit of the stack, usually 2 MiB (execve(2)). Hand over what is long in a file, or as input.',
    }
  return {
    code: 'ERR_CAISSON_COMMAND_NOT_EXECUTABLE',
    hint: `Make ${path} executable, and of this machine's architecture.`,
  }
}

const RULES: Array<[RegExp, (failure: NativeFailure, note?: Note) => Advice]> = [
  [
    /^cgroup/,
    ({ errno, path }) => {
      if (errno === ENOENT)
        return {
          code: 'ERR_CAISSON_LIMIT_UNAVAILABLE',
          hint: `The kernel has no ${path}; leave this limit out, or use a kernel that has it.`,
        }
      if (errno === EINVAL)
        return {
          code: 'ERR_CAISSON_LIMIT_UNAVAILABLE',
          hint: 'The kernel does not take this value; see the limits of the parent cgroup.',
        }
      if (errno === ESRCH) return { code: 'ERR_CAISSON_CGROUP', hint: 'There is no such process (any more).' }
      if (errno === ERANGE)
        return {
          code: 'ERR_CAISSON_CGROUP',
          hint: 'The value is beyond what this machine or the parent cgroup has; see the file that is named, one level up.',
        }
      if (errno === EBUSY)
        return {
          code: 'ERR_CAISSON_CGROUP',
          hint: 'Processes are left in the cgroup, or it uses more than the new limit already.',
        }
      return {
        code: 'ERR_CAISSON_CGROUP',
        hint: 'Have a cgroup subtree delegated to this user; "caisson doctor" says how.',
      }
    },
  ],
  [
    /^namespaces|^user namespace/,
    ({ errno, syscall }) => {
      if (syscall === 'newuidmap')
        return {
          code: 'ERR_CAISSON_NAMESPACE',
          hint: 'Check that /etc/subuid and /etc/subgid give this user the range, and that newuidmap is set-id root.',
        }
      if (errno === ENOSPC)
        return { code: 'ERR_CAISSON_RESOURCE_EXHAUSTED', hint: 'Raise /proc/sys/user/max_*_namespaces.' }
      if (errno === EAGAIN)
        return {
          code: 'ERR_CAISSON_RESOURCE_EXHAUSTED',
          hint: 'The limit of processes (ulimit -u, pids.max) is reached; end some.',
        }
      return {
        code: 'ERR_CAISSON_NAMESPACE',
        hint: 'This process may not create or enter namespaces here (an ordinary user first needs a user namespace of its own); "caisson doctor" names the setting that forbids it.',
      }
    },
  ],
  [
    /^exec/,
    ({ errno, path, syscall }) =>
      syscall !== 'execve'
        ? {
            code: 'ERR_CAISSON_SYSTEM',
            hint: 'The kernel refused a step before the program itself; run "caisson doctor".',
          }
        : adviseExecution(errno, path),
  ],
  [
    /^hostname/,
    () => ({
      code: 'ERR_CAISSON_PERMISSION',
      hint: 'A filter around this process forbids it: leave hostname and domainname out, or start the outer container with --security-opt seccomp=unconfined.',
    }),
  ],
  [
    /^user/,
    ({ errno, path }) =>
      errno === ENOENT
        ? {
            code: 'ERR_CAISSON_USER_NOT_FOUND',
            hint: `Add ${path} to the image's /etc/passwd or /etc/group, or give a number.`,
          }
        : errno === ERANGE
          ? { code: 'ERR_CAISSON_INVALID_ARGUMENT', hint: `${path} is no id: those go from 0 to 2147483647.` }
          : { code: 'ERR_CAISSON_PERMISSION', hint: 'The id may not be mapped in this user namespace.' },
  ],
  [
    /^mounts|^image|^writable layer/,
    ({ errno }) => {
      if (errno === ELOOP)
        return {
          code: 'ERR_CAISSON_ROOTFS',
          hint: 'The image has a symbolic link where the container needs a directory of its own; do not run this image.',
        }
      if (errno === ENOENT) return { code: 'ERR_CAISSON_MOUNT', hint: 'The source or target does not exist.' }
      return {
        code: 'ERR_CAISSON_MOUNT',
        hint: 'See the system call and the path; "caisson doctor" shows which kinds of mount work here.',
      }
    },
  ],
  [
    /^root/,
    () => ({
      code: 'ERR_CAISSON_ROOTFS',
      hint: 'The layers must be readable directories, and the kernel must have overlay; see "caisson doctor".',
    }),
  ],
  [
    /^files/,
    ({ errno }) => ({
      code: 'ERR_CAISSON_FILE',
      hint:
        FILE_HINTS[errnoName(errno)] ??
        'The path must not run through a file or a dangling link, and must fit on the writable layer.',
    }),
  ],
  [
    /^connect/,
    ({ errno }) => ({
      code: 'ERR_CAISSON_SYSTEM',
      hint:
        errno === ECONNREFUSED
          ? 'Nothing listens on this port in the container (yet): waitFor(Wait.port(n)) waits for it.'
          : 'See whether the program in the container answers.',
    }),
  ],
  [
    /^workdir/,
    () => ({ code: 'ERR_CAISSON_ROOTFS', hint: 'The working directory must be a directory inside the container.' }),
  ],
  [/^hooks/, () => ({ code: 'ERR_CAISSON_HOOK', hint: 'The hook must exist, be executable, and exit with 0.' })],
  [
    /^landlock/,
    ({ errno, path }) =>
      errno === ENOENT
        ? { code: 'ERR_CAISSON_ROOTFS', hint: `Rules are for paths that the container has; ${path} is not there.` }
        : errno === ELOOP
          ? {
              code: 'ERR_CAISSON_ROOTFS',
              hint: `The image has a link on the way to ${path}, by which it would choose what the rule is for: name what is meant.`,
            }
          : {
              code: 'ERR_CAISSON_SECURITY_UNAVAILABLE',
              hint: 'Landlock needs Linux 5.19, rules for TCP 6.7, scopes 6.12, and "landlock" in the lsm= list of the kernel command line; leave security.landlock out to go on without what is missing.',
            },
  ],
  [
    /^egress/,
    ({ errno }) => ({
      code: errno === EPERM ? 'ERR_CAISSON_PERMISSION' : 'ERR_CAISSON_NETWORK',
      hint: 'Egress policies need nf_tables with the family inet, NAT, limits and transparent sockets (CONFIG_NF_TABLES_INET, CONFIG_NFT_NAT, CONFIG_NFT_LIMIT, CONFIG_NFT_TPROXY); load the modules, or use network: "none".',
    }),
  ],
  [
    /^firewall/,
    ({ errno }) => ({
      code: errno === EPERM ? 'ERR_CAISSON_PERMISSION' : 'ERR_CAISSON_NETWORK',
      hint:
        errno === EPERM
          ? 'Bridge networks need CAP_NET_ADMIN over the network namespace of this process.'
          : 'Bridge networks need nf_tables with the families inet and bridge, NAT and connection tracking (CONFIG_NF_TABLES_INET, CONFIG_NF_TABLES_BRIDGE, CONFIG_NFT_NAT, CONFIG_NFT_MASQ, CONFIG_NFT_CT, CONFIG_NFT_FIB_INET); load the modules, or use network: "none".',
    }),
  ],
  [
    /^(network|ports)/,
    ({ errno }) => ({
      code: errno === EPERM ? 'ERR_CAISSON_PERMISSION' : 'ERR_CAISSON_NETWORK',
      hint:
        errno === EPERM
          ? 'Bridge networks need CAP_NET_ADMIN over the network namespace of this process.'
          : errno === ECONNRESET
            ? "The process that makes sockets in this user's networks was killed meanwhile; another one takes its place: do it again."
            : 'The kernel needs bridges and veth (CONFIG_BRIDGE, CONFIG_VETH); see the message, and "ip link" for what is there.',
    }),
  ],
  [
    /^(seccomp|no_new_privs|capabilities|masked paths|read-only paths)/,
    () => ({
      code: 'ERR_CAISSON_SECURITY_UNAVAILABLE',
      hint: 'This protection cannot be had here; loosen it by name under "security" if you must.',
    }),
  ],
  [
    /^ulimits/,
    () => ({
      code: 'ERR_CAISSON_PERMISSION',
      hint: 'A hard limit above our own needs CAP_SYS_RESOURCE; give a lower one.',
    }),
  ],
]
