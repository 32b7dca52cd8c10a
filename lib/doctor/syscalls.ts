/** The system calls that containers need, made in a child. */
import { constants } from 'node:os'
import { getSystemErrorName } from 'node:util'
import { addon } from '../native/addon.js'
import { bad, type Finding, ok, type Subject, unknown } from './finding.js'
import { attempt, enterMountNamespace, mountMaps, type Trial } from './trial.js'

/** What each is for, and since when it is there. */
const CALLS: Record<string, [since: string, why: string]> = {
  clone3: ['5.3', 'New processes are born in their namespaces and cgroup with it.'],
  pidfd_open: ['5.3', 'Processes are named by descriptors, which are never another process.'],
  pidfd_send_signal: ['5.1', 'Signals reach the process that is meant, and no other.'],
  openat2: ['5.6', 'Paths inside an image are resolved so that no link leads out of it.'],
  open_tree: ['5.2', 'Mounts are prepared out of sight.'],
  move_mount: ['5.2', 'Mounts are put in their place without naming a path twice.'],
  fsopen: ['5.2', 'File systems are mounted without a path that an image could have changed.'],
  mount_setattr: ['5.12', 'Mounts are made read-only, or shown with other owners.'],
  close_range: ['5.11', 'No descriptor of this program passes into a container.'],
  execveat: ['3.19', 'The init program is executed from a sealed file.'],
  memfd_create: ['3.17', 'The init program and its plan are files in memory.'],
  pivot_root: ['2.4', "The host's files leave the container's sight for good."],
}

/** These ask for rights over mounts before anything else. */
const FOR_MOUNTS = new Set(['open_tree', 'move_mount', 'fsopen', 'mount_setattr', 'pivot_root'])

const SECCOMP: Subject = {
  id: 'seccomp.filter',
  what: 'loading a seccomp filter',
  why: 'Containers may only make the system calls of an allow-list.',
}
const LANDLOCK: Subject = {
  id: 'landlock',
  what: 'landlock',
  why: 'It bounds the files and ports of programs where namespaces are not to be had, and is a second wall where they are.',
}

/** A filter that allows everything: one instruction, BPF_RET with SECCOMP_RET_ALLOW. */
const ALLOW_ALL = Buffer.from([0x06, 0, 0, 0, 0, 0, 0xff, 0x7f])

export async function examineSyscalls(): Promise<Finding[]> {
  const names = [...Object.keys(CALLS), 'landlock_create_ruleset']
  const probed = await probe(names)
  const findings = Object.entries(CALLS).map(([name, [since, why]]) => {
    const subject = { id: `syscall.${name}`, what: `system call ${name}`, why }
    return finding(subject, probed.get(name) ?? -1, since)
  })
  return [...findings, await filter(), landlock(probed.get('landlock_create_ruleset') ?? -1, probed.get(ABI) ?? 0)]
}

const ABI = 'landlock ABI'

/** Errno by name; 0: it is there, -1: not tried. A call that kills its caller is not asked again. */
async function probe(names: readonly string[]): Promise<Map<string, number>> {
  const results = new Map<string, number>()
  for (let left = [...names], prepared = true; left.length > 0; ) {
    const trial: Trial = await attempt(
      (plan) => {
        if (prepared) enterMountNamespace(plan)
        for (const name of left) plan.add('PROBE', name, { numbers: [addon().plan.probes[name] as number] })
      },
      prepared ? mountMaps() : {},
    )
    if (trial.errand) {
      trial.errand.probed.forEach(({ errno, value }, i) => {
        const hidden = !prepared && errno === constants.errno.EPERM && FOR_MOUNTS.has(left[i] as string)
        if (!hidden) results.set(left[i] as string, errno)
        if (left[i] === 'landlock_create_ruleset' && errno === 0) results.set(ABI, value)
      })
      return results
    }
    const killer = left.find((name) => trial.refusal.text.startsWith(`${name}:`))
    if (killer) {
      results.set(killer, constants.errno.EPERM)
      left = left.filter((name) => name !== killer)
    } else if (prepared) prepared = false
    else return results
  }
  return results
}

function finding(subject: Subject, errno: number, since: string): Finding {
  if (errno === 0) return ok(subject)
  if (errno < 0) return unknown(subject, 'the child that was to make it did not come so far')
  const detail = getSystemErrorName(-errno)
  // There is an older call for it.
  if (subject.id === 'syscall.clone3')
    return bad(subject, 'warning', `${detail}; clone is used, and processes are moved to their cgroup`, ALLOW)
  if (errno === constants.errno.ENOSYS || errno === constants.errno.EINVAL)
    return bad(subject, 'missing', detail, `Use a kernel of version ${since} or later that is built with it.`)
  return bad(subject, 'missing', detail, `A filter or security module around this process forbids it: ${ALLOW}`)
}

const ALLOW =
  'start the outer container with --security-opt seccomp=unconfined, or allow the call in the profile of its filter.'

async function filter(): Promise<Finding> {
  const { refusal } = await attempt((plan) => {
    plan.add('NO_NEW_PRIVS', 'seccomp')
    plan.add('SECCOMP', 'seccomp', { blob: ALLOW_ALL })
  })
  if (!refusal) return ok(SECCOMP)
  return bad(SECCOMP, 'missing', refusal.text, 'Use a kernel with CONFIG_SECCOMP_FILTER=y.')
}

function landlock(errno: number, version: number): Finding {
  if (errno === 0) return ok(LANDLOCK, `version ${version} of its interface`)
  if (errno < 0) return unknown(LANDLOCK, 'the child that was to ask did not come so far')
  const code = getSystemErrorName(-errno)
  const fix =
    code === 'EOPNOTSUPP'
      ? 'Add landlock to the lsm= list of the kernel command line, and restart the machine.'
      : 'Use a kernel with CONFIG_SECURITY_LANDLOCK=y (Linux 5.13 or later).'
  return bad(LANDLOCK, 'warning', code, fix)
}
