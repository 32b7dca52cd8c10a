/**
 * Containers reach the world through the host, which has to forward what comes from their bridge and what is answered.
 * Where forwarding is off it is turned on for these devices alone, never for the whole host, and our rules let nothing
 * else pass (addon/core/network/firewall_rules.cc, `opened`). It is turned off again with the last user.
 */
import { mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { addon, type NativeFailure } from '../native/addon.js'
import { errorFromFailure } from '../native/failure.js'
import { roots } from '../util/roots.js'
import type { NetworkUser } from './active.js'
import type { NetworkDefinition } from './definition.js'
import { networking } from './place.js'

const settingOf = (device: string) => `/proc/sys/net/ipv4/conf/${device}/forwarding`
/** A file for each device that forwards because of us. */
const openedDirectory = () => path.join(roots().run, 'networks', 'forwarding')

const WHOLE_HOST = settingOf('all')
/** Milliseconds between looks at whether somebody else forwards by now. */
const LOOK_EVERY = 1000

let held: Promise<void> | undefined
let warned = false
/** Devices whose packets our rules look at. */
const guarded = new Set<string>()
let watching: NodeJS.Timeout | undefined

export async function allowForwarding({ bridge }: NetworkDefinition, user: NetworkUser): Promise<void> {
  held ??= hold(user)
  await held
  const devices = [bridge, ...(await networking().uplinks())]
  const opened: string[] = []
  for (const device of devices) {
    const off = (await readFile(settingOf(device), 'utf8').catch(() => '1')).trim() === '0'
    if (!off) continue
    if (device !== bridge) {
      await writeFile(path.join(openedDirectory(), device), '')
      opened.push(device)
    }
    await writeFile(settingOf(device), '1')
  }
  // Those that another process of ours has turned on have to be guarded by our rules too, as its own end with it.
  for (const device of await readdir(openedDirectory())) if (device !== 'lock') opened.push(device)
  try {
    if (opened.length > 0) await guard(opened)
    await warnOfOthers()
  } catch (failure) {
    throw errorFromFailure(failure as NativeFailure)
  }
}

async function guard(opened: readonly string[]): Promise<void> {
  await networking().firewall({ opened: [...opened] }, true)
  for (const device of opened) guarded.add(device)
  watching ??= setInterval(() => void giveWay(), LOOK_EVERY).unref()
}

/**
 * Whoever turns forwarding on for the whole host later, as dockerd does when it starts, forwards for others too: nothing
 * of that is dropped by us, or turned off again.
 */
async function giveWay(): Promise<void> {
  if (!(await wholeHostForwards())) return
  clearInterval(watching)
  watching = undefined
  const opened = [...guarded]
  guarded.clear()
  await networking()
    .firewall({ opened }, false)
    .catch(() => undefined)
  for (const device of await readdir(openedDirectory()).catch(() => []))
    if (device !== 'lock') await rm(path.join(openedDirectory(), device), { force: true })
}

async function wholeHostForwards(): Promise<boolean> {
  return (await readFile(WHOLE_HOST, 'utf8').catch(() => '0')).trim() === '1'
}

/** The lock that says that somebody needs it, until this process ends. */
async function hold(user: NetworkUser): Promise<void> {
  await mkdir(openedDirectory(), { recursive: true, mode: 0o711 })
  await mkdir(path.join(user.run, 'networks'), { recursive: true, mode: 0o711 })
  const lock = path.join(openedDirectory(), 'lock')
  // What the watchdog looks at, first: another's may leave to us what it finds locked, and we may be killed any moment.
  await symlink(lock, path.join(user.run, 'networks', 'forwarding')).catch(() => undefined)
  await addon().lock(lock, false, true)
}

/** What a dead owner's watchdog would have done. */
export async function sweepForwarding(): Promise<void> {
  const list = await readdir(openedDirectory()).catch(() => [])
  if (list.length === 0) return
  const lock = await addon()
    .lock(path.join(openedDirectory(), 'lock'), true, false)
    .catch(() => -1)
  if (lock < 0) return
  for (const device of list) {
    if (device === 'lock') continue
    if (!(await wholeHostForwards())) await writeFile(settingOf(device), '0').catch(() => undefined)
    await rm(path.join(openedDirectory(), device), { force: true })
  }
  addon().closeFd(lock)
}

/**
 * Others' chains that drop what they do not know (dockerd sets one) are theirs: we say so, once, and how to let our
 * packets pass. Containers on one network, and published ports, which are served by sockets then, work nevertheless.
 */
async function warnOfOthers(): Promise<void> {
  const chains = await networking().droppingChains()
  if (chains.length === 0 || warned) return
  warned = true
  const docker = "iptables -I DOCKER-USER -i 'cnb-+' -j ACCEPT; iptables -I DOCKER-USER -o 'cnb-+' -j ACCEPT"
  process.emitWarning(`Another firewall drops what is forwarded (${chains.join(', ')})`, {
    code: 'CAISSON_FORWARD_DROP',
    detail: `Containers on bridge networks will not reach the world. Beside dockerd let them pass with: ${docker}`,
  })
}

/** Whether published ports may rely on forwarded packets. */
export async function forwardingDropped(): Promise<boolean> {
  return (await networking().droppingChains()).length > 0
}
