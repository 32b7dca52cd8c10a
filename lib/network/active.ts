/**
 * Networks that this process uses. Their bridges are devices of the host that no process holds, so each user has a
 * shared lock, and whoever ends last removes the bridge: the process itself, its watchdog (addon/init/links.c), or, if
 * that was killed too, the next owner that starts.
 */
import { mkdir, readdir, readlink, rm, symlink } from 'node:fs/promises'
import path from 'node:path'
import { CaissonError } from '../errors.js'
import { addon, type NativeFailure } from '../native/addon.js'
import { errorFromFailure } from '../native/failure.js'
import { privileged } from '../util/privileged.js'
import { roots } from '../util/roots.js'
import { formatSubnet, overlap, parseSubnet } from './addresses.js'
import { DEFAULT_NETWORK, type NetworkDefinition, readDefinition } from './definition.js'
import { allowForwarding } from './forwarding.js'
import { Leases, networkRun } from './leases.js'
import { type NetworkPlace, networking, placeBeside } from './place.js'
import { occupiedBy } from './subnets.js'

/** Who uses networks: the owner's directory of state goes when it ends. */
export interface NetworkUser {
  id: string
  run: string
}

interface Active {
  definition: NetworkDefinition
  lock: number
}

const ATTEMPTS = 10
const PAUSE_MS = 20

const active = new Map<string, Promise<Active>>()

/** The native call, with its failures as errors that say what to do. */
export async function explained<T>(work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (failure) {
    throw failure instanceof Error ? failure : errorFromFailure(failure as NativeFailure)
  }
}

/** Makes its bridge and rules unless this process has them already. */
export async function activate(definition: NetworkDefinition, user: NetworkUser): Promise<void> {
  let current = active.get(definition.id)
  if (!current) {
    current = start(definition, user).catch((error) => {
      active.delete(definition.id)
      throw error
    })
    active.set(definition.id, current)
  }
  await current
  if (!definition.internal) await placeBeside()?.reachWorld()
}

const lockOf = (id: string) => path.join(networkRun(id), 'lock')

async function start(definition: NetworkDefinition, user: NetworkUser): Promise<Active> {
  const { id, name, bridge, mac, ipv4, ipv6, internal, metadata, mtu } = definition
  await new Leases(definition, user.run).prepare()
  const lock = await explained(addon().lock(lockOf(id), false, true))
  try {
    if ((await readDefinition(name))?.id !== id) throw networkNotFound(name)
    const marks = path.join(user.run, 'networks')
    await mkdir(marks, { recursive: true, mode: 0o711 })
    await symlink(lockOf(id), path.join(marks, bridge)).catch(ifExists)
    const addresses = [ipv4, ...(ipv6 ? [ipv6] : [])].map(
      ({ subnet, gateway }) => `${gateway}/${subnet.split('/')[1] as string}`,
    )
    await checkFree(definition)
    const beside = placeBeside()
    if (beside) await prepareBeside(beside, definition)
    await explained(networking().firewall({ networks: [{ bridge, outward: !internal, metadata }] }, true))
    await explained(networking().makeBridge({ name: bridge, mac, mtu, addresses }))
    // Beside the host everything is forwarded, as all that is there is ours.
    if (!internal && !placeBeside()) await allowForwarding(definition, user)
    return { definition, lock }
  } catch (error) {
    addon().closeFd(lock)
    throw error
  }
}

/**
 * Other processes of this user are in the same place, or nothing of theirs is reached: that is no network, but for the
 * default one, on which nobody counts on others. No watchdog can remove bridges there, so those without users are removed
 * by the next one, before their subnets are in the way.
 */
async function prepareBeside(beside: NetworkPlace, { name, bridge }: NetworkDefinition): Promise<void> {
  const apart = new Set(beside.apartFrom())
  const others = apart.size > 0 ? await usersOf(bridge, path.join(roots().run, 'owners')) : []
  const other = others.find((pid) => apart.has(pid))
  if (other !== undefined && name !== DEFAULT_NETWORK)
    throw new CaissonError('ERR_CAISSON_UNSUPPORTED', `network ${name} is out of reach: process ${other} has it`, {
      stage: 'network',
      hint: 'Processes of one user share networks when they have the same ids (/etc/subuid, newuidmap) and see each other in /proc.',
    })
  for (const device of beside.devices()) if (device !== bridge) await removeUnused(device)
}

async function removeUnused(device: string): Promise<void> {
  const [, begin] = /^cnb-([0-9a-f]{8})$/.exec(device) ?? []
  if (begin === undefined) return
  // Of a network that is removed there is no directory any more.
  const found = (await readdir(path.join(roots().run, 'networks')).catch(() => [])).filter((id) => id.startsWith(begin))
  const locks = await Promise.all(found.map((id) => addon().lock(lockOf(id), true, false)))
  if (locks.every((lock) => lock >= 0)) await networking().removeDevice(device)
  for (const lock of locks) if (lock >= 0) addon().closeFd(lock)
}

/** The host may have got a route to the same addresses since the network was made. */
async function checkFree({ name, bridge, ipv4, ipv6 }: NetworkDefinition): Promise<void> {
  const own = [ipv4, ...(ipv6 ? [ipv6] : [])].map(({ subnet }) => parseSubnet(subnet, 'subnet'))
  for (const { network, device } of await explained(networking().taken())) {
    const other = device === bridge ? undefined : occupiedBy(network, device)
    const subnet = other && own.find((each) => overlap(each, other.subnet))
    if (subnet)
      throw new CaissonError(
        'ERR_CAISSON_SUBNET_IN_USE',
        `network ${name}: ${formatSubnet(subnet)} overlaps ${network} of the host's ${device || 'routes'}`,
        { stage: 'network', hint: 'Remove the network, and make it anew with another subnet.' },
      )
  }
}

function ifExists(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EEXIST') throw error
}

/** Processes that are just being made hold what we have open, and have closed by now, for a moment longer. */
async function lockAlone(id: string): Promise<number> {
  for (let attempt = 0; ; attempt++) {
    const lock = await explained(addon().lock(lockOf(id), true, false))
    if (lock >= 0 || attempt === ATTEMPTS) return lock
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
  }
}

/** Ends the use of this process, and removes the bridge; an error when another process uses the network. */
export async function deactivate(definition: NetworkDefinition, user: NetworkUser): Promise<void> {
  const { id, name, bridge, internal, metadata } = definition
  const current = await active.get(id)?.catch(() => undefined)
  active.delete(id)
  if (current) addon().closeFd(current.lock)
  await mkdir(networkRun(id), { recursive: true, mode: 0o711 })
  const lock = await lockAlone(id)
  if (lock < 0) {
    if (current) await activate(definition, user)
    throw new CaissonError('ERR_CAISSON_IN_USE', `network ${name} is used by another process`, {
      stage: 'network',
      hint: 'End the containers that are on it first.',
    })
  }
  try {
    // An ordinary user who has put nothing on a network yet has no place where there could be something of it.
    if (placeBeside() !== undefined || privileged()) {
      await explained(networking().firewall({ networks: [{ bridge, outward: !internal, metadata }] }, false))
      await explained(networking().removeDevice(bridge))
    }
    await rm(path.join(user.run, 'networks', bridge), { force: true })
    await rm(networkRun(id), { recursive: true, force: true })
  } finally {
    addon().closeFd(lock)
  }
}

/** What a dead owner's watchdog would have done. `run` is that owner's directory of state. */
export async function sweepNetworks(run: string): Promise<void> {
  const marks = path.join(run, 'networks')
  for (const bridge of await readdir(marks).catch(() => [])) {
    const file = await readlink(path.join(marks, bridge)).catch(() => undefined)
    if (file === undefined || !/^cnb-[0-9a-f]{8}$/.test(bridge)) continue
    // Without its directory the network is gone, and its bridge was removed before that.
    const lock = await addon()
      .lock(file, true, false)
      .catch(() => -1)
    if (lock < 0) continue
    await networking()
      .removeDevice(bridge)
      .catch(() => undefined)
    addon().closeFd(lock)
  }
}

/** Owners of live leases are not known by name, but the processes that use a network are. */
export async function usersOf(bridge: string, owners: string): Promise<number[]> {
  const found: number[] = []
  for (const owner of await readdir(owners).catch(() => []))
    if ((await readlink(path.join(owners, owner, 'networks', bridge)).catch(() => undefined)) !== undefined)
      found.push(Number(owner.split('-')[0]))
  return found
}

export function networkNotFound(name: string): CaissonError {
  return new CaissonError('ERR_CAISSON_NETWORK_NOT_FOUND', `there is no network ${JSON.stringify(name)}`, {
    stage: 'network',
    hint: 'Make it with Network.create({ name }); Network.list() shows what there is.',
  })
}
