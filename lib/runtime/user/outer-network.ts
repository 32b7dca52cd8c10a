/**
 * Networks of an ordinary user: a network namespace that belongs to the user namespace of its containers. An agent in it
 * makes sockets for us, by which the same bridges, rules and published ports are made in it as root makes on the host; and
 * a program of user-mode networking connects it with the world when a network leads there. Nothing but processes and
 * descriptors of this owner holds it, so it ends with the owner.
 */
import { existsSync, readFileSync } from 'node:fs'
import { CaissonError } from '../../errors.js'
import { addon, type NativeAgent } from '../../native/addon.js'
import { errorFromFailure } from '../../native/failure.js'
import { networksAreBeside } from '../../network/place.js'
import type { ContainerOptions } from '../../options.js'
import { awake } from '../../util/awake.js'
import { becomeRootIn, openHostProc } from '../lower/namespaces.js'
import { Plan } from '../lower/plan.js'
import { NAMESPACES } from '../options/workload.js'
import type { Owner } from '../process/owner.js'
import { Running } from '../process/running.js'
import type { Ordinary } from './ordinary.js'
import { UserMode } from './user-mode.js'

let current: Promise<void> | undefined

/** Made at first use, and there until this process ends. */
export function makeOuterNetwork({ run, ordinary }: Owner & { ordinary: Ordinary }): Promise<void> {
  current ??= make(run, ordinary).catch((error) => {
    current = undefined
    throw error
  })
  return current
}

/** What the container may do to its network follows from its user namespace: it must be the one that the network is of. */
export function checkOuterNetwork({ security, namespaces }: ContainerOptions, { isolation }: Owner): void {
  const own = typeof security?.userns === 'object' || (namespaces?.user ?? 'private') !== 'private'
  if (!own && isolation.proc === 'own') return
  const why = own ? 'with a user namespace of its own' : 'here, where each container has a user namespace of its own,'
  throw new CaissonError('ERR_CAISSON_UNSUPPORTED', `a container ${why} can be on no bridge network`, {
    stage: 'network',
    hint: 'Use network: "none" and container.connect(port), or network: "host".',
  })
}

async function make(run: string, { user }: Ordinary): Promise<void> {
  const plan = new Plan()
  becomeRootIn(user, plan, 'network')
  plan.add('UNSHARE', 'network', { numbers: [NAMESPACES.net.flag] })
  const proc = openHostProc(plan)
  const set = (path: string) => plan.add('SYSCTL', 'network: forwarding', { numbers: [proc], strings: [path, '1'] })
  set('net/ipv4/ip_forward')
  if (existsSync('/proc/sys/net/ipv6')) set('net/ipv6/conf/all/forwarding')
  plan.add('LOOPBACK', 'network')
  plan.add('PARENT_DEATH', 'network')
  plan.add('AGENT', 'network')
  const { running, agent } = await startAgent(plan)
  const userMode = new UserMode(pidOf(running), run)
  networksAreBeside({ calls: addon().network.beside(agent), run, reachWorld: () => userMode.reach() })
}

async function startAgent(plan: Plan): Promise<{ running: Running; agent: NativeAgent }> {
  let running!: Running
  const ready = new Promise<NativeAgent | undefined>((resolve) => {
    const request = {
      plan: plan.finish(),
      inherited: plan.inherited,
      namespaces: 0,
      stdio: ['null', 'null', 'null'] as ['null', 'null', 'null'],
      background: true,
    }
    running = new Running(request, { ready: () => running.takeControl().then(resolve) })
    void running.ended.then(() => resolve(undefined))
  })
  const agent = await awake(ready)
  if (agent) return { running, agent }
  const { failure } = await awake(running.ended)
  throw errorFromFailure(failure ?? { stage: 'network', syscall: '', errno: 104, path: '', record: -1 }, plan.notes)
}

/** proc_pid_fdinfo(5) */
function pidOf(running: Running): number {
  const fd = running.pidfd()
  try {
    const text = readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8')
    return Number(/^Pid:\s*(\d+)$/m.exec(text)?.[1])
  } finally {
    addon().closeFd(fd)
  }
}
