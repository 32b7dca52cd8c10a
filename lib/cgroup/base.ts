/**
 * The cgroups of an owner: each process that uses caisson has one directory in every hierarchy, each container one below
 * that, and each exec one below the container's.
 */
import { mkdir, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { addon, type NativeFailure } from '../native/addon.js'
import { errorFromFailure } from '../native/failure.js'
import { DEVICE_RULES } from '../spec/defaults.js'
import { CONTROLLERS } from './controllers.js'
import { type CgroupHost, type Hierarchy, isWritable, readWords, unifiedParent } from './host.js'

/** v1 hierarchies that every container is in, for its accounts. Others only for a limit: each costs a directory. */
const ALWAYS = new Set(['memory', 'pids'])

/** Without a v2 hierarchy only the v1 freezer freezes. */
export function entersAlways(host: CgroupHost, controllers: readonly string[]): boolean {
  return controllers.some((name) => ALWAYS.has(name) || (name === 'freezer' && !host.unified))
}

interface LegacyBase {
  hierarchy: Hierarchy
  directory: string
}

/** The directories of one owner. */
export interface CgroupBase {
  host: CgroupHost
  unified?: UnifiedBase
  /**
   * The part of `unified` whose members may use the default devices only. One device program serves all containers
   * there; each that is attached or removed costs the kernel milliseconds when it is the first or last of the machine.
   */
  filtered?: UnifiedBase
  legacy: LegacyBase[]
}

interface UnifiedBase {
  directory: string
  controllers: string[]
}

/**
 * Makes them. A controller that cannot be handed down is left out; a limit that needs it is an error later. `filter`: we
 * are privileged, so device access is to be limited.
 */
export async function createBase(host: CgroupHost, name: string, filter: boolean): Promise<CgroupBase> {
  const base: CgroupBase = { host, legacy: [] }
  const parent = host.unified && unifiedParent(host.unified)
  if (parent) {
    const directory = path.join(parent.directory, name)
    let enabled = parent.controllers.filter((controller) => CONTROLLERS.some(({ name }) => name === controller))
    // On a hybrid host the v2 root is others' too, and some (crun) refuse to work when it hands controllers down.
    if (host.mode !== 'unified') enabled = []
    for (const level of parent.chain) enabled = await handDown(level, enabled)
    await mkdir(directory)
    base.unified = { directory, controllers: await handDown(directory, enabled) }
    if (filter) base.filtered = await createFiltered(base.unified)
  }
  for (const hierarchy of host.legacy) {
    const directory = path.join(hierarchy.own, name)
    const always = entersAlways(host, hierarchy.controllers)
    const made =
      !always ||
      (await mkdir(directory).then(
        () => true,
        () => false,
      ))
    if (made && (always || isWritable(hierarchy.own))) base.legacy.push({ hierarchy, directory })
  }
  return base
}

async function createFiltered(parent: UnifiedBase): Promise<UnifiedBase> {
  const directory = path.join(parent.directory, 'containers')
  await mkdir(directory)
  const controllers = await handDown(directory, parent.controllers)
  await addon()
    .restrictDevices(directory, DEVICE_RULES)
    .catch((failure) => {
      throw errorFromFailure(failure as NativeFailure)
    })
  return { directory, controllers }
}

/** Every directory that createBase() may make: to be noted before, as an owner can be killed at any instant. */
export function possibleDirectories(host: CgroupHost, name: string): string[] {
  const parent = host.unified && unifiedParent(host.unified)
  return [...(parent ? [parent.directory] : []), ...host.legacy.map(({ own }) => own)].map((own) =>
    path.join(own, name),
  )
}

/** Every directory that an owner may have, for whoever cleans up after it. */
export function baseDirectories(base: CgroupBase): string[] {
  return [...(base.unified ? [base.unified.directory] : []), ...base.legacy.map(({ directory }) => directory)]
}

/** Enables controllers for the children of a directory; returns those that are. One by one: one may fail alone. */
async function handDown(directory: string, controllers: readonly string[]): Promise<string[]> {
  const file = path.join(directory, 'cgroup.subtree_control')
  const missing = controllers.filter((controller) => !readWords(file).includes(controller))
  for (const controller of missing) await writeFile(file, `+${controller}`).catch(() => undefined)
  const enabled = readWords(file)
  return controllers.filter((controller) => enabled.includes(controller))
}
