/**
 * The owner: this process as the holder of containers. It has a directory and cgroups of its own, a lock that says it
 * is alive, and a watchdog that cleans up when it is killed. What a dead owner left on disk is swept by the next one.
 */
import { randomBytes } from 'node:crypto'
import { readdir, readFile, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { baseDirectories, type CgroupBase, createBase, possibleDirectories } from '../../cgroup/base.js'
import { cgroupHost } from '../../cgroup/host.js'
import { removeNow } from '../../cgroup/remove-now.js'
import { CaissonError } from '../../errors.js'
import { removeTree } from '../../layer/tree.js'
import { addon, type NativeFailure } from '../../native/addon.js'
import { errorFromFailure } from '../../native/failure.js'
import { sweepNetworks } from '../../network/active.js'
import { sweepDefinitions } from '../../network/definition.js'
import { sweepForwarding } from '../../network/forwarding.js'
import { makeDirectories } from '../../util/directories.js'
import { privileged } from '../../util/privileged.js'
import { roots } from '../../util/roots.js'
import { sweepVolumes } from '../../volume/store.js'
import { findIsolation, type Isolation, NO_ISOLATION } from '../isolation/isolation.js'
import { type Ordinary, ordinary } from '../user/ordinary.js'

export interface Owner {
  id: string
  /** State of running containers; gone with the owner. */
  run: string
  /** Writable layers that are on disk, and images made of archives; swept after the owner. */
  data: string
  /** An empty directory for putting roots together, inside each container's own mount namespace. */
  staging: string
  cgroups: CgroupBase
  isolation: Isolation
  /** undefined: it has privileges, or there are no user namespaces for it. */
  ordinary?: Ordinary
}

let current: Promise<Owner> | undefined

/** The owner that this module instance is; made at first use. */
export function owner(): Promise<Owner> {
  current ??= create().catch((error) => {
    current = undefined
    throw error
  })
  return current
}

function cgroupName(id: string): string {
  return `caisson-${id}`
}

async function create(): Promise<Owner> {
  const { data, run } = roots()
  const owners = path.join(run, 'owners')
  try {
    // Others may pass through, to reach a root that was mapped for them, and see nothing.
    await makeDirectories(data, 0o711)
    await makeDirectories(owners, 0o711)
  } catch (error) {
    throw noDirectories(error)
  }
  // Where it has none, programs may still be kept in Landlock.
  const own = ordinary()
  const unprivileged = await own?.catch(() => undefined)
  await sweep(run, data)

  const id = `${process.pid}-${randomBytes(4).toString('hex')}`
  // The lock first: a directory without a held lock is a dead owner's.
  const lock = path.join(owners, `${id}.lock`)
  await addon()
    .lock(lock, true, false)
    .catch((failure: NativeFailure) => {
      throw noDirectories(errorFromFailure({ ...failure, path: lock }))
    })
  const made: Owner = {
    id,
    run: path.join(owners, id),
    data: path.join(data, 'owners', id),
    staging: path.join(owners, id, 'root'),
    cgroups: { host: cgroupHost(), legacy: [] },
    isolation: NO_ISOLATION,
    ordinary: unprivileged,
  }
  await makeDirectories(made.staging, 0o711)
  made.isolation = await findIsolation(own, made.staging, data)
  await writeFile(path.join(made.run, 'cgroups'), possibleDirectories(cgroupHost(), cgroupName(id)).join('\n'))
  made.cgroups = await createBase(cgroupHost(), cgroupName(id), privileged())
  const directories = baseDirectories(made.cgroups)
  // As the first process of a pid namespace it takes its watchdog along.
  if (process.pid === 1) process.once('exit', () => removeNow(directories))
  await addon().watch([
    ...directories.map((directory) => `cgroup ${directory}`),
    // Bridges of an ordinary user are where no watchdog gets.
    ...(unprivileged ? [] : [`links ${path.join(made.run, 'networks')}`]),
    `tree ${made.run}`,
    `tree ${made.data}`,
    `file ${path.join(owners, `${id}.lock`)}`,
    ...(unprivileged ? [`file ${(await import('../user/spaces.js')).spacesFile()}`] : []),
  ])
  return made
}

function noDirectories(error: unknown): CaissonError {
  const { message } = error as Error
  return new CaissonError('ERR_CAISSON_PERMISSION', `cannot make caisson's directories: ${message}`, {
    stage: 'start',
    hint: 'Set CAISSON_ROOT to a directory that this user may write to.',
    cause: ((error as CaissonError).cause ?? error) as Error,
  })
}

/** Whether all that the file lists are gone. Only what bears the owner's name is touched, whatever the file says. */
async function sweepCgroups(file: string, name: string): Promise<boolean> {
  const list = (await readFile(file, 'utf8').catch(() => '')).split('\n')
  const removals = list
    .filter((directory) => path.basename(directory) === name)
    .map((directory) => addon().removeCgroup({ unified: directory }))
  return (await Promise.allSettled(removals)).every(({ status }) => status === 'fulfilled')
}

/** Removes what owners left that have died. Those alive hold their locks. */
async function sweep(run: string, data: string): Promise<void> {
  const [runOwners, dataOwners, names] = [path.join(run, 'owners'), path.join(data, 'owners'), path.join(run, 'names')]
  const list = (directory: string) => readdir(directory).catch(() => [])
  const found = new Set((await list(runOwners)).map((entry) => entry.replace(/\.lock$/, '')))
  for (const entry of await list(dataOwners)) found.add(entry)
  const reserved = new Map<string, string>()
  for (const name of await list(names)) {
    const file = path.join(names, name)
    reserved.set(file, (await readFile(file, 'utf8').catch(() => '')).split('\n')[0] as string)
  }
  for (const holder of reserved.values()) found.add(holder)
  found.delete('')

  for (const id of found) {
    const file = path.join(runOwners, `${id}.lock`)
    const lock = await addon().lock(file, true, false)
    if (lock < 0) continue
    try {
      // What cannot be removed yet stays written down, for the next who starts.
      if (!(await sweepCgroups(path.join(runOwners, id, 'cgroups'), cgroupName(id)))) continue
      await sweepNetworks(path.join(runOwners, id))
      // Of any depth: a container may have made paths that are too long for a name.
      await removeTree(path.join(dataOwners, id))
      await rm(path.join(runOwners, id), { recursive: true, force: true })
      for (const [name, holder] of reserved) if (holder === id) await rm(name, { force: true })
      await rm(file, { force: true })
    } finally {
      addon().closeFd(lock)
    }
  }
  await sweepForwarding()
  await sweepVolumes()
  await sweepDefinitions()
}
