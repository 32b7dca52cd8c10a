/** Which containers there are: those of this process as objects, those of others as what they wrote down. */
import { link, mkdir, readdir, readFile, rename, rm, unlink, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { CaissonError, invalidArgument } from '../../errors.js'
import { addon } from '../../native/addon.js'
import type { PublishedPort } from '../../network/ports.js'
import { type Abortable, checkAborted } from '../../util/abort.js'
import { randomName } from '../../util/ids.js'
import { checkNames, type Names } from '../../util/option-names.js'
import { roots } from '../../util/roots.js'
import type { Owner } from '../process/owner.js'

/** What Container.list() gives. */
export interface ContainerInfo {
  id: string
  name: string
  image: string
  /** Of the image, as `sha256:...`; undefined for a container of an OCI bundle. */
  imageId?: string
  state: 'created' | 'running' | 'paused' | 'exited' | 'removed'
  pid: number | null
  labels: Record<string, string>
  created: Date
  /** The program with its arguments. */
  command: readonly string[]
  /** While it runs. */
  ports: readonly PublishedPort[]
  startedAt?: Date
  finishedAt?: Date
  /** Of the last run; 128 and the signal for one that was killed. */
  exitCode?: number
  /** Process that holds it. */
  owner: number
}

const STATE = 'state.json'

type Lasting = Pick<ContainerInfo, 'id' | 'name' | 'image' | 'imageId'> & { run: string }
type Changing = Pick<ContainerInfo, 'state' | 'pid' | 'created'> & { labels: Readonly<Record<string, string>> }

/** Of its program. */
export type Recorded = Pick<ContainerInfo, 'command' | 'ports' | 'startedAt' | 'finishedAt' | 'exitCode'>

/** Tells others of a container. Beside its place, then renamed: readers see the old state or the new one. */
export async function recordState(
  { id, name, image, imageId, run }: Lasting,
  { state, pid, labels, created }: Changing,
  program: Recorded,
): Promise<void> {
  const info: ContainerInfo = {
    id,
    name,
    image,
    imageId,
    state,
    pid,
    labels: { ...labels },
    created,
    ...program,
    owner: process.pid,
  }
  const file = path.join(run, STATE)
  const beside = `${file}.${process.pid}`
  await writeFile(beside, JSON.stringify(info))
  await rename(beside, file)
}

/** Containers of all owners that are alive. */
export async function readStates(): Promise<ContainerInfo[]> {
  const owners = path.join(roots().run, 'owners')
  const list: ContainerInfo[] = []
  for (const entry of await readdir(owners).catch(() => [])) {
    const directory = path.join(owners, entry, 'containers')
    for (const id of await readdir(directory).catch(() => [])) {
      const text = await readFile(path.join(directory, id, STATE), 'utf8').catch(() => undefined)
      if (text === undefined) continue
      const info = JSON.parse(text) as ContainerInfo
      const time = (text: Date | undefined) => (text === undefined ? undefined : new Date(text))
      const [startedAt, finishedAt] = [time(info.startedAt), time(info.finishedAt)]
      list.push({ ...info, created: new Date(info.created), startedAt, finishedAt })
    }
  }
  return list
}

/**
 * Reserves a name on this machine. The reservation is a file that holds the owner's id and the container's; one of a
 * dead owner does not count.
 */
async function reserveName(name: string, owner: Owner, id: string): Promise<void> {
  const names = path.join(roots().run, 'names')
  await mkdir(names, { recursive: true, mode: 0o711 })
  const file = path.join(names, name)
  const mine = path.join(owner.run, `name-${id}`)
  await writeFile(mine, `${owner.id}\n${id}\n`)
  try {
    for (let attempt = 0; attempt < 3; attempt++) {
      try {
        // A link is made whole or not at all, and fails when the name is there.
        await link(mine, file)
        return
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
      }
      const text = await readFile(file, 'utf8').catch(() => '')
      const [holder = '', other = ''] = text.split('\n')
      if (holder !== '' && (await alive(holder)))
        throw new CaissonError(
          'ERR_CAISSON_NAME_IN_USE',
          `the name ${name} is taken by container ${other.slice(0, 12)}`,
          {
            stage: 'create',
            hint: 'Remove that container, or choose another name.',
          },
        )
      await dropName(file, text)
    }
    throw new CaissonError('ERR_CAISSON_NAME_IN_USE', `the name ${name} cannot be had`, {
      stage: 'create',
      hint: 'Others take and leave it at this moment: try again, or choose another name.',
    })
  } finally {
    await rm(mine, { force: true })
  }
}

/** Removes a dead owner's reservation; not the one that another process may have put in its place meanwhile. */
async function dropName(file: string, text: string): Promise<void> {
  const lock = await addon().lock(path.join(roots().run, 'names.lock'), true, true)
  try {
    if ((await readFile(file, 'utf8').catch(() => undefined)) === text) await unlink(file).catch(() => undefined)
  } finally {
    addon().closeFd(lock)
  }
}

export function checkContainerName(name: string): void {
  if (typeof name === 'string' && /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$/.test(name)) return
  throw invalidArgument('name', name, 'at most 128 letters, digits, "_", "." and "-", beginning with a letter or digit')
}

/** The name that was asked for, or a free one. */
export async function takeName(asked: string | undefined, owner: Owner, id: string): Promise<string> {
  if (asked !== undefined) {
    checkContainerName(asked)
    await reserveName(asked, owner, id)
    return asked
  }
  for (let attempt = 0; ; attempt++) {
    // Two words are easily remembered, and soon all taken.
    const name = attempt < 3 ? randomName() : `${randomName()}_${id.slice(0, 8)}`
    try {
      await reserveName(name, owner, id)
      return name
    } catch (error) {
      if (!(error instanceof CaissonError) || attempt > 5) throw error
    }
  }
}

export async function releaseName(name: string, id: string): Promise<void> {
  const file = path.join(roots().run, 'names', name)
  const text = await readFile(file, 'utf8').catch(() => '')
  if (text.split('\n')[1] === id) await unlink(file).catch(() => undefined)
}

async function alive(ownerId: string): Promise<boolean> {
  const lock = path.join(roots().run, 'owners', `${ownerId}.lock`)
  // Opening makes the file; without the directory beside it there is no such owner.
  if (!(await readdir(path.join(roots().run, 'owners', ownerId)).catch(() => undefined))) return false
  const fd = await addon().lock(lock, true, false)
  if (fd < 0) return true
  addon().closeFd(fd)
  return false
}

export interface ContainerFilter extends Abortable {
  /** false: without those that do not run. Default true. */
  all?: boolean
  /** The whole id, or its beginning. */
  id?: string
  name?: string
  labels?: Record<string, string>
  state?: ContainerInfo['state'] | ReadonlyArray<ContainerInfo['state']>
}

const FILTER: Names<ContainerFilter> = {
  all: true,
  id: true,
  name: true,
  labels: true,
  state: true,
  signal: true,
}

const STATES: ReadonlyArray<ContainerInfo['state']> = ['created', 'running', 'paused', 'exited', 'removed']

/** Of all live owners of this machine, the youngest first. */
export async function listContainers(filter: ContainerFilter = {}): Promise<ContainerInfo[]> {
  checkNames(filter, FILTER, '')
  checkAborted(filter.signal, 'list')
  const { all = true, id = '', name, labels = {}, state } = filter
  for (const [option, text] of Object.entries({ id, name: name ?? '' }))
    if (typeof text !== 'string') throw invalidArgument(option, text, 'a string')
  if (typeof all !== 'boolean') throw invalidArgument('all', all, 'true or false')
  if (typeof labels !== 'object' || labels === null) throw invalidArgument('labels', labels, 'an object')
  const states = state === undefined ? undefined : [state].flat()
  for (const each of states ?? [])
    if (!STATES.includes(each)) throw invalidArgument('state', each, `one of ${STATES.join(', ')}`)
  return (await readStates())
    .filter((info) => info.id.startsWith(id) && (states?.includes(info.state) ?? true))
    .filter((info) => all || info.state === 'running' || info.state === 'paused')
    .filter((info) => name === undefined || info.name === name)
    .filter((info) => Object.entries(labels).every(([key, value]) => info.labels[key] === value))
    .sort((a, b) => b.created.getTime() - a.created.getTime())
}
