/** Namespaces of every kind, and the rules about who may make them. */
import { statSync } from 'node:fs'
import type { Plan } from '../runtime/lower/plan.js'
import { NONE } from '../runtime/lower/plan.js'
import { NAMESPACES, type NamespaceType } from '../runtime/options/workload.js'
import { account, defaultIdMaps, idMapHelpers, nativeIdMaps } from '../runtime/user/id-maps.js'
import { grantsOf, readSubIds } from '../runtime/user/sub-ids.js'
import { bad, type Finding, ok, type Subject, unknown } from './finding.js'
import { attempt, isRoot, type Refusal, setting, unshare } from './trial.js'

const WHY: Record<NamespaceType, string> = {
  user: 'Root inside is an ordinary user outside; who is not root needs it for everything else.',
  mnt: 'A container sees its own files instead of the host’s.',
  pid: 'A container sees its own processes only, and all of them end with its first.',
  net: 'A container has a network of its own, or none.',
  ipc: 'Shared memory and message queues of others are out of reach.',
  uts: 'A container has a host name of its own.',
  cgroup: 'A container sees its own cgroup as the root.',
  time: 'A container’s clocks do not tell how long the host has been up.',
}

const CONFIG: Record<NamespaceType, string> = {
  user: 'USER_NS',
  mnt: 'NAMESPACES',
  pid: 'PID_NS',
  net: 'NET_NS',
  ipc: 'IPC_NS',
  uts: 'UTS_NS',
  cgroup: 'CGROUPS',
  time: 'TIME_NS',
}

export async function examineNamespaces(): Promise<Finding[]> {
  const findings: Finding[] = []
  for (const type of Object.keys(NAMESPACES) as NamespaceType[]) findings.push(await examineNamespace(type))
  findings.push(await ordinaryUsers(), limits(), await idRanges())
  return findings
}

function make(plan: Plan, type: NamespaceType): void {
  if (type === 'time') plan.add('TIME', type, { strings: [''] })
  else if (type === 'pid') plan.add('FORK', type, { numbers: [NAMESPACES.pid.flag, NONE] })
  else unshare(plan, type)
}

async function examineNamespace(type: NamespaceType): Promise<Finding> {
  const subject: Subject = { id: `namespace.${type}`, what: `${type} namespace`, why: WHY[type] }
  const { refusal } = await attempt((plan) => {
    if (!isRoot() && type !== 'user') unshare(plan, 'user')
    make(plan, type)
  })
  if (!refusal) return ok(subject, isRoot() || type === 'user' ? '' : 'in a user namespace')
  return bad(subject, 'missing', refusal.text, cure(type, refusal))
}

function cure(type: NamespaceType, { code }: Refusal): string {
  if (code === 'EINVAL') return `Use a kernel with CONFIG_${CONFIG[type]}=y.`
  const forbidden = isRoot() ? undefined : ordinaryRule()
  if (forbidden) return forbidden.fix
  if (code === 'ENOSPC') return `sysctl -w user.max_${type}_namespaces=10000`
  return isRoot()
    ? 'This process lacks CAP_SYS_ADMIN, or a filter forbids it: start the outer container with --privileged, or with --cap-add SYS_ADMIN and --security-opt seccomp=unconfined.'
    : 'A filter or security module around this process forbids it: start the outer container with --security-opt seccomp=unconfined, or run as root.'
}

/** The setting that forbids user namespaces to whoever is not root. */
function ordinaryRule(): { detail: string; fix: string } | undefined {
  const rules: Array<[file: string, forbids: string, allow: string]> = [
    ['kernel/unprivileged_userns_clone', '0', '1'],
    ['kernel/apparmor_restrict_unprivileged_userns', '1', '0'],
    ['user/max_user_namespaces', '0', '10000'],
  ]
  for (const [file, forbids, allow] of rules) {
    if (setting(`/proc/sys/${file}`) !== forbids) continue
    const name = file.replace('/', '.')
    const fix = `sysctl -w ${name}=${allow} (and the same line in /etc/sysctl.d/99-caisson.conf to keep it)`
    const profile =
      name === 'kernel.apparmor_restrict_unprivileged_userns'
        ? `, or an AppArmor profile for ${process.execPath} with the rule "userns,"`
        : ''
    return { detail: `${name} is ${forbids}`, fix: fix + profile }
  }
  return undefined
}

const ORDINARY: Subject = {
  id: 'userns.ordinary',
  what: 'user namespaces for ordinary users',
  why: 'Without them only root can run containers.',
}

/** Where the limit is an outer sandbox's, all that were allowed are taken. */
const RAISE = 'sysctl -w user.max_user_namespaces=10000; inside bubblewrap: start it without --disable-userns.'

/** As nobody, when we are root: what other users of this machine can do. */
async function ordinaryUsers(): Promise<Finding> {
  const nobody = (65534n << 32n) | 65534n
  const { refusal } = await attempt((plan) => {
    if (isRoot()) {
      plan.add('USER', 'nobody', { numbers: [nobody, 1], strings: [''] })
      plan.add('CREDENTIALS', 'nobody', { numbers: [0o022, 0] })
      plan.add('CAPABILITIES', 'nobody')
    }
    // Not in one call: AppArmor, where it restricts them, lets everybody make one, but without rights in it.
    unshare(plan, 'user')
    unshare(plan, 'mnt', 'net')
  })
  if (!refusal) return ok(ORDINARY)
  // In a user namespace without that id, root cannot become nobody.
  if (refusal.syscall !== 'unshare') return unknown(ORDINARY, refusal.text)
  const rule = ordinaryRule()
  const state = isRoot() ? 'warning' : 'missing'
  const fix =
    rule?.fix ??
    (refusal.code === 'ENOSPC' ? RAISE : 'Allow the system call unshare in the filter around this process.')
  return bad(ORDINARY, state, [refusal.text, rule?.detail].filter(Boolean).join('; '), fix)
}

const LIMITS: Subject = {
  id: 'namespace.limits',
  what: 'number of namespaces',
  why: 'Each container needs one of each kind; beyond the limit it does not start.',
}

function limits(): Finding {
  const low: string[] = []
  for (const type of Object.keys(NAMESPACES) as NamespaceType[]) {
    const limit = setting(`/proc/sys/user/max_${type}_namespaces`)
    if (limit !== undefined && Number(limit) < 128) low.push(`user.max_${type}_namespaces=${limit}`)
  }
  if (low.length === 0) return ok(LIMITS)
  return bad(
    LIMITS,
    'warning',
    low.join(', '),
    low.map((each) => `sysctl -w ${each.replace(/=.*/, '=10000')}`).join('; '),
  )
}

const RANGES: Subject = {
  id: 'userns.ids',
  what: 'ranges of ids for user namespaces',
  why: 'The users of an image need ids of their own on the host; with one id only, every file belongs to root inside.',
}

async function idRanges(): Promise<Finding> {
  const maps = defaultIdMaps()
  const { refusal } = await attempt((plan) => unshare(plan, 'user'), { maps: nativeIdMaps(maps) })
  const [first] = maps.uidMap.slice(-1)
  const range = `${maps.uidMap.reduce((sum, { size }) => sum + size, 0)} ids, the last range from ${first?.hostID} on`
  if (isRoot()) {
    if (refusal) {
      const fix =
        refusal.syscall === 'unshare'
          ? 'See the finding about user namespaces.'
          : 'Give this process CAP_SETUID, CAP_SETGID and CAP_SETFCAP, and a user namespace with enough ids.'
      return bad(RANGES, 'warning', refusal.text, fix)
    }
    const granted = readSubIds('/etc/subuid').some(({ first: from }) => from === first?.hostID)
    return ok(RANGES, granted ? range : `${range} (not in /etc/subuid, so other programs may use the same)`)
  }
  if (!refusal && maps.uidMap.length > 1) return ok(RANGES, range)
  return bad(RANGES, 'warning', refusal?.text ?? `one id only: ${maps.lacking}`, rangeCure())
}

function rangeCure(): string {
  const user = account()
  const name = user.username || String(user.uid)
  const steps: string[] = []
  for (const file of ['/etc/subuid', '/etc/subgid'])
    if (grantsOf(readSubIds(file), user).length === 0)
      steps.push(`usermod --add-sub${file.slice(8)}s 100000-165535 ${name}`)
  const helpers = idMapHelpers()
  if (!helpers)
    steps.push('install newuidmap and newgidmap (Debian: apt-get install uidmap; Fedora: dnf install shadow-utils)')
  // The file's capabilities cannot be read here; that it failed without the bit is what is known.
  else
    for (const [program, capability] of [
      [helpers.uid, 'cap_setuid'],
      [helpers.gid, 'cap_setgid'],
    ] as const)
      if (steps.length === 0 && (statSync(program).mode & 0o4000) === 0)
        steps.push(`setcap ${capability}=ep ${program}`)
  if (steps.length > 0) return `as root: ${steps.join('; ')}`
  return /^NoNewPrivs:\s*1$/m.test(setting('/proc/self/status') ?? '')
    ? 'Start this program without no_new_privs (Docker: without --security-opt no-new-privileges).'
    : "See that this user's ranges in /etc/subuid and /etc/subgid are nobody else's."
}
