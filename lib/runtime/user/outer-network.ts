/**
 * Networks of an ordinary user: a network namespace that belongs to the user namespace of its containers, and that all
 * processes of the user share (spaces.ts). An agent in it, of each process, makes sockets for us, by which the same
 * bridges, rules and published ports are made in it as root makes on the host; and a program of user-mode networking
 * connects it with the world when a network leads there. Nothing but processes and descriptors of owners holds it, so it
 * ends with the last of them; and not before, if agents are killed.
 */
import { existsSync, readFileSync } from 'node:fs'
import { CaissonError } from '../../errors.js'
import { addon, type NativeAgent } from '../../native/addon.js'
import { errorFromFailure } from '../../native/failure.js'
import type { NativeNetwork } from '../../native/network.js'
import { networksAreBeside } from '../../network/place.js'
import type { ContainerOptions } from '../../options.js'
import { awake } from '../../util/awake.js'
import { becomeRootIn, openHostProc } from '../lower/namespaces.js'
import { Plan } from '../lower/plan.js'
import { NAMESPACES } from '../options/workload.js'
import { createNamespace, duplicate } from '../process/namespaces.js'
import type { Owner } from '../process/owner.js'
import { Running } from '../process/running.js'
import { pidOf, settled } from './alive.js'
import type { Ordinary } from './ordinary.js'
import { apartFrom, shareNetwork } from './spaces.js'
import { UserMode } from './user-mode.js'

/** Milliseconds. */
const LIVED_MS = 1000

/** The namespace, and the agent that is in it just now. */
interface Outer {
  netns: number
  calls: NativeNetwork
  agent: Running
  pid: number
}

type User = Owner & { ordinary: Ordinary }

let current: Promise<Outer> | undefined
let made: Outer | undefined

/** Made or found at first use, and there until this process ends. An agent that was killed is replaced. */
export async function makeOuterNetwork(user: User): Promise<void> {
  const { agent } = await obtain(user)
  if (await settled(agent)) await obtain(user)
}

function obtain(user: User): Promise<Outer> {
  current ??= (made ? renew(made, user) : make(user)).catch((error) => {
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

async function make(user: User): Promise<Outer> {
  const { fd: netns } = await shareNetwork(() => createNamespace('net', { user: user.ordinary.user }))
  const plan = entering(netns, user)
  // Whoever has found it does so once more: it may have been made this moment.
  const proc = openHostProc(plan)
  const set = (path: string) => plan.add('SYSCTL', 'network: forwarding', { numbers: [proc], strings: [path, '1'] })
  set('net/ipv4/ip_forward')
  if (existsSync('/proc/sys/net/ipv6')) set('net/ipv6/conf/all/forwarding')
  plan.add('LOOPBACK', 'network')
  const { running, agent } = await startAgent(plan).catch((error) => {
    addon().closeFd(netns)
    throw error
  })
  const outer = { netns, calls: addon().network.beside(agent), agent: running, pid: pidOf(running) }
  const devices = () => devicesSeenBy(outer.pid)
  const userMode = new UserMode({ pid: () => pidInside(outer, user), devices, run: user.run })
  networksAreBeside({ calls: outer.calls, devices, apartFrom, reachWorld: () => userMode.reach() })
  made = outer
  replaceAtEnd(outer, user)
  return outer
}

/** Bridges, rules and what is published are in the namespace, which our descriptor holds: they are as they were. */
async function renew(outer: Outer, user: User): Promise<Outer> {
  const { running, agent } = await startAgent(entering(outer.netns, user))
  await outer.calls.renew(agent)
  Object.assign(outer, { agent: running, pid: pidOf(running) })
  replaceAtEnd(outer, user)
  return outer
}

function entering(netns: number, { ordinary }: User): Plan {
  const plan = new Plan()
  becomeRootIn(ordinary.user, plan, 'network')
  plan.add('SETNS', 'network', { numbers: [plan.inherit(duplicate(netns)), NAMESPACES.net.flag] })
  return plan
}

async function pidInside(outer: Outer, user: User): Promise<number> {
  await makeOuterNetwork(user)
  return outer.pid
}

/** proc_pid_net(5): a line for each, behind two of headings. */
function devicesSeenBy(pid: number): string[] {
  try {
    const lines = readFileSync(`/proc/${pid}/net/dev`, 'utf8').split('\n').slice(2)
    return lines.map((line) => line.split(':')[0]?.trim() ?? '').filter((name) => name !== '')
  } catch {
    // It was just killed: another takes its place.
    return []
  }
}

/** At once, as published ports need it, unless it hardly lived: then by whoever needs it next. */
function replaceAtEnd({ agent }: Outer, user: User): void {
  const started = Date.now()
  void agent.ended.then(() => {
    current = undefined
    if (Date.now() - started > LIVED_MS) obtain(user).catch(() => undefined)
  })
}

/** `plan`: up to where the agent is to be. */
async function startAgent(plan: Plan): Promise<{ running: Running; agent: NativeAgent }> {
  plan.add('PARENT_DEATH', 'network')
  plan.add('AGENT', 'network')
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
