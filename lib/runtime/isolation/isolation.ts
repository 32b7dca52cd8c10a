/** How strong the isolation is that this process can give, found out by trying: docs/rootless.md. */
import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import { CaissonError } from '../../errors.js'
import { removeTree } from '../../layer/tree.js'
import { addon, type NativeErrand } from '../../native/addon.js'
import { becomeRootIn } from '../lower/namespaces.js'
import { NONE, Plan } from '../lower/plan.js'
import { MS_REC, PROPAGATION } from '../options/mount-options.js'
import { NAMESPACES, type NamespaceType } from '../options/workload.js'
import { explained } from '../process/namespaces.js'
import type { Ordinary } from '../user/ordinary.js'

/** namespaces: containers. landlock: programs of the host under rules. */
export type Tier = 'namespaces' | 'landlock'

export interface Isolation {
  /** none: programs are not run at all. */
  tier: Tier | 'none'
  /** What a container sees there: its own, or what this process sees. */
  proc: 'own' | 'outer'
  sys: 'own' | 'outer'
  /** Whose host name it has, unless it is to have a certain one. */
  hostname: 'own' | 'outer'
  /** How a root is made of layers. */
  layers: 'overlay' | 'copy'
  /** Version of Landlock's interface (landlock(7)); 0: there is none. */
  landlock: number
  /** Why there is nothing stronger. */
  refusal?: CaissonError
}

/** What can be had: `ordinary` rejects where user namespaces are not. `staging`, `data`: directories of the owner's. */
export async function findIsolation(
  ordinary: Promise<Ordinary> | undefined,
  staging: string,
  data: string,
): Promise<Isolation> {
  const found: Isolation = { ...BEST }
  try {
    const user = (await ordinary)?.user
    // Each refusal takes away one thing that can be done without.
    for (;;) {
      try {
        const { probed } = await perform((plan) => tryContainer(plan, found, user, staging, data))
        found.landlock = versionOf(probed)
        return found
      } catch (error) {
        const { stage } = error as CaissonError
        found.refusal = error as CaissonError
        if (stage === PROC && found.proc === 'own') found.proc = 'outer'
        else if (stage === SYS && found.sys === 'own') found.sys = 'outer'
        else if (stage === HOSTNAME && found.hostname === 'own') found.hostname = 'outer'
        else if (stage === OVERLAY && found.layers === 'overlay') found.layers = 'copy'
        else throw error
      }
    }
  } catch (error) {
    if (!(error instanceof CaissonError)) throw error
    const landlock = await sandboxVersion()
    return { ...found, tier: landlock >= LANDLOCK_MIN ? 'landlock' : 'none', landlock, refusal: error }
  }
}

/** Moving files between directories cannot be allowed before. */
const LANDLOCK_MIN = 2

const [PROC, SYS, OVERLAY, HOSTNAME] = ['mounts: /proc', 'mounts: /sys', 'root: overlay', 'hostname']

const BEST: Isolation = {
  tier: 'namespaces',
  proc: 'own',
  sys: 'own',
  hostname: 'own',
  layers: 'overlay',
  landlock: 0,
}

/** Until it is known. */
export const NO_ISOLATION: Isolation = { ...BEST, tier: 'none' }

/** All that containers need, on a small scale. */
function tryContainer(
  plan: Plan,
  { proc, sys, hostname, layers }: Isolation,
  user: Ordinary['user'] | undefined,
  staging: string,
  data: string,
): void {
  const types: NamespaceType[] = ['mnt', 'ipc', 'uts', 'cgroup', ...(user ? ['net' as const] : [])]
  if (user) becomeRootIn(user, plan, 'namespaces')
  const [memory, root] = [plan.slot(), plan.slot()]
  askVersion(plan)
  plan.add('UNSHARE', 'namespaces', { numbers: [types.reduce((sum, type) => sum + NAMESPACES[type].flag, 0)] })
  if (hostname === 'own') plan.add('HOSTNAME', HOSTNAME, { strings: ['caisson', ''] })
  plan.add('PROPAGATION', 'mounts: /', { numbers: [MS_REC | PROPAGATION.private], strings: [''] })
  plan.add('FORK', 'namespaces: pid', { numbers: [NAMESPACES.pid.flag, NONE] })
  if (proc === 'own') plan.add('FILESYSTEM', PROC, { numbers: [plan.slot(), 0], strings: ['proc'] })
  if (sys === 'own') plan.add('FILESYSTEM', SYS, { numbers: [plan.slot(), 0], strings: ['sysfs'] })
  plan.add('FILESYSTEM', 'mounts: tmpfs', { numbers: [memory, 0], strings: ['tmpfs', 'size', '64k'] })
  for (const name of ['upper', 'work', 'root'])
    plan.add('DIRECTORY', 'mounts: tmpfs', { numbers: [memory, 0o755], strings: [name] })
  plan.add('ATTACH', 'mounts: tmpfs', { numbers: [memory, NONE], strings: [staging] })
  if (layers === 'overlay')
    plan.add('OVERLAY', OVERLAY, {
      numbers: [root, 0],
      strings: [`${staging}/root`, `${staging}/upper`, `${staging}/work`, user ? 'userxattr' : '', data],
    })
  plan.add('ROOT', 'root', { numbers: [memory, 1], strings: [staging] })
}

/**
 * Whether overlay takes a directory for its writable layer. It does not where that is on an overlay itself, as in most
 * outer containers, or on some network file systems.
 */
export async function overlayTakes(
  directory: string,
  user: Ordinary['user'] | undefined,
  staging: string,
): Promise<boolean> {
  const lower = path.join(directory, 'lower')
  try {
    for (const name of ['lower', 'upper', 'work']) await mkdir(path.join(directory, name), { recursive: true })
    await perform((plan) => {
      if (user) becomeRootIn(user, plan, 'namespaces')
      const [memory, root] = [plan.slot(), plan.slot()]
      plan.add('UNSHARE', 'namespaces', { numbers: [NAMESPACES.mnt.flag] })
      plan.add('PROPAGATION', 'mounts: /', { numbers: [MS_REC | PROPAGATION.private], strings: [''] })
      plan.add('FILESYSTEM', 'mounts: tmpfs', { numbers: [memory, 0], strings: ['tmpfs', 'size', '64k'] })
      plan.add('DIRECTORY', 'mounts: tmpfs', { numbers: [memory, 0o755], strings: ['root'] })
      plan.add('ATTACH', 'mounts: tmpfs', { numbers: [memory, NONE], strings: [staging] })
      const [upper, work] = [path.join(directory, 'upper'), path.join(directory, 'work')]
      const strings = [`${staging}/root`, upper, work, user ? 'userxattr' : '', lower]
      plan.add('OVERLAY', OVERLAY, { numbers: [root, 0], strings })
    })
    return true
  } catch (error) {
    if (!(error instanceof CaissonError)) throw error
    return false
  } finally {
    await removeTree(directory)
  }
}

/** 0: a program cannot be kept in Landlock and a filter. */
async function sandboxVersion(): Promise<number> {
  try {
    const { probed } = await perform((plan) => {
      askVersion(plan)
      plan.add('NO_NEW_PRIVS', 'no_new_privs')
      plan.add('SECCOMP', 'seccomp', { blob: ALLOW_ALL })
    })
    return versionOf(probed)
  } catch {
    return 0
  }
}

/** A filter that allows everything: one instruction, BPF_RET with SECCOMP_RET_ALLOW. */
const ALLOW_ALL = Buffer.from([0x06, 0, 0, 0, 0, 0, 0xff, 0x7f])

function askVersion(plan: Plan): void {
  plan.add('PROBE', 'landlock', { numbers: [addon().plan.probes.landlock_create_ruleset as number] })
}

function versionOf([answer]: NativeErrand['probed']): number {
  return answer && answer.errno === 0 ? answer.value : 0
}

async function perform(write: (plan: Plan) => void): Promise<NativeErrand> {
  const plan = new Plan()
  write(plan)
  plan.add('HOLD', 'namespaces')
  return explained(addon().errand({ plan: plan.finish(), inherited: plan.inherited }), plan.notes)
}

/** An error unless the isolation is as strong as the caller wants it; `require` is the weakest that will do. */
export function checkTier({ tier, refusal }: Isolation, require: Tier = 'namespaces'): void {
  if (tier === 'namespaces' || (tier === 'landlock' && require === 'landlock')) return
  const why = refusal ? `: ${refusal.message}` : ''
  const hint =
    tier === 'landlock'
      ? `Allow it ("caisson doctor" says how), or accept programs of the host in Landlock alone, with what docs/rootless.md says of that: security: { require: 'landlock' }.`
      : `Allow it ("caisson doctor" says how); Landlock (Linux 5.19) cannot be had either.`
  throw new CaissonError('ERR_CAISSON_SECURITY_UNAVAILABLE', `namespaces cannot be had here${why}`, {
    stage: 'isolation',
    hint,
    cause: refusal?.cause ?? refusal,
  })
}
