/**
 * Volumes on disk: a directory for each, with a description beside its content. Whoever uses one holds a shared lock, so
 * that nobody removes it meanwhile; a lock ends with its process.
 */
import { randomBytes } from 'node:crypto'
import { constants, type Stats } from 'node:fs'
import { lstat, mkdir, open, readdir, readFile, readlink, realpath, rename, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { CaissonError, invalidArgument } from '../errors.js'
import { removeTree } from '../layer/tree.js'
import { addon, type NativeFailure } from '../native/addon.js'
import { errorFromFailure } from '../native/failure.js'
import { roots } from '../util/roots.js'
import { parseSize, type Size } from '../util/units.js'
import { boundDirectory, forgetProject } from './quota.js'

export interface VolumeDefinition {
  name: string
  labels: Record<string, string>
  created: string
  /** Nobody gave it a name. */
  anonymous: boolean
  /** What it may hold, in bytes, and the project that the file system bounds by that. */
  quota?: { bytes: number; project: number }
}

/** Of a volume that is to be there. */
export interface WantedVolume {
  name: string
  labels?: Record<string, string>
  anonymous?: boolean
  /** Bytes. */
  size?: number
}

const volumes = () => path.join(roots().data, 'volumes')
const directoryOf = (name: string) => path.join(volumes(), name)
export const contentOf = (name: string) => path.join(directoryOf(name), 'data')
const DESCRIPTION = 'volume.json'
const descriptionOf = (name: string) => path.join(directoryOf(name), DESCRIPTION)

export function checkVolumeName(name: unknown, option: string): string {
  if (typeof name === 'string' && /^[a-zA-Z0-9][a-zA-Z0-9_.-]{1,127}$/.test(name)) return name
  throw invalidArgument(
    option,
    name,
    'a name of 2 to 128 letters, digits, "_", "." and "-", beginning with a letter or digit',
  )
}

export function volumeSize(size: Size, option: string): number {
  const bytes = parseSize(size, option)
  if (bytes === 0) throw invalidArgument(option, size, 'more than nothing')
  return bytes
}

/** One that is being made or removed has no description. */
export async function readVolume(name: string): Promise<VolumeDefinition | undefined> {
  return readDescription(descriptionOf(name))
}

async function readDescription(file: string): Promise<VolumeDefinition | undefined> {
  const text = await readFile(file, 'utf8').catch(() => undefined)
  return text === undefined ? undefined : (JSON.parse(text) as VolumeDefinition)
}

export async function readVolumes(): Promise<VolumeDefinition[]> {
  const names = (await readdir(volumes()).catch(() => [])).filter((name) => !name.startsWith('.'))
  return (await Promise.all(names.map(readVolume))).filter((each) => each !== undefined)
}

/** Gives the one that is there, as Docker does; labels are those that it was made with, and so must be the size. */
export async function makeVolume(wanted: WantedVolume): Promise<VolumeDefinition> {
  const { name, labels = {}, anonymous = false, size } = wanted
  const there = await readVolume(name)
  if (there) return ofSize(there, size)
  await mkdir(volumes(), { recursive: true, mode: 0o711 })
  const lock = await lockAll()
  try {
    const meanwhile = await readVolume(name)
    if (meanwhile) return ofSize(meanwhile, size)
    // What a crash has left half made.
    await removeTree(directoryOf(name))
    // Only we may pass: a volume may hold set-id programs.
    await mkdir(directoryOf(name), { mode: 0o700 })
    await mkdir(contentOf(name), { mode: 0o755 })
    const definition: VolumeDefinition = { name, labels: { ...labels }, created: new Date().toISOString(), anonymous }
    if (size !== undefined) definition.quota = { bytes: size, project: await boundContent(name, size) }
    const beside = `${descriptionOf(name)}.${randomBytes(4).toString('hex')}`
    await writeFile(beside, `${JSON.stringify(definition, null, 2)}\n`)
    await rename(beside, descriptionOf(name))
    return definition
  } finally {
    addon().closeFd(lock)
  }
}

async function boundContent(name: string, size: number): Promise<number> {
  try {
    return await boundDirectory(contentOf(name), size, `volume ${name}`)
  } catch (error) {
    await removeTree(directoryOf(name))
    throw error
  }
}

/** A bound that was asked for is never left out. */
function ofSize(there: VolumeDefinition, size: number | undefined): VolumeDefinition {
  const has = there.quota?.bytes
  if (size === undefined || size === has) return there
  throw new CaissonError(
    'ERR_CAISSON_NAME_IN_USE',
    `there is a volume ${there.name} already, ${has === undefined ? 'without a size' : `of ${has} bytes`}`,
    { stage: 'volume', hint: 'Leave the size out to take it as it is, remove it, or choose another name.' },
  )
}

async function lockAll(): Promise<number> {
  return locked(path.join(volumes(), '.lock'), true, true)
}

async function locked(file: string, exclusive: boolean, wait: boolean): Promise<number> {
  try {
    return await addon().lock(file, exclusive, wait)
  } catch (failure) {
    throw failure instanceof Error ? failure : errorFromFailure(failure as NativeFailure)
  }
}

const useLock = (name: string) => path.join(directoryOf(name), 'lock')

/** Until the descriptor is closed, it is not removed. */
export async function useVolume(name: string): Promise<number> {
  const fd = await locked(useLock(name), false, true).catch((error) => {
    if ((error as CaissonError).cause && (error.cause as { code?: string }).code === 'ENOENT')
      throw volumeNotFound(name)
    throw error
  })
  if (await readVolume(name)) return fd
  addon().closeFd(fd)
  throw volumeNotFound(name)
}

/**
 * Fills it if it is empty. Nobody else does meanwhile, in whatever process; a mark says that it is not whole yet, so that
 * what a crash has left is begun anew.
 */
export async function fillVolume(name: string, fill: (directory: string) => Promise<void>): Promise<void> {
  const fd = await locked(path.join(directoryOf(name), 'filling'), true, true)
  const mark = path.join(directoryOf(name), 'unfilled')
  const content = contentOf(name)
  try {
    const begun = (await readFile(mark).catch(() => undefined)) !== undefined
    const there = await readdir(content)
    if (there.length > 0 && !begun) return
    for (const entry of there) await removeTree(path.join(content, entry))
    await writeFile(mark, '')
    await fill(content)
    await checkFilled(name, content)
    await rm(mark)
  } finally {
    addon().closeFd(fd)
  }
}

/** ext4 bounds nobody who has CAP_SYS_RESOURCE, as we do. What is too much is begun anew by the next container. */
async function checkFilled(name: string, content: string): Promise<void> {
  const size = (await readVolume(name))?.quota?.bytes
  if (size === undefined || (await usageOf(content)).bytes <= size) return
  for (const entry of await readdir(content)) await removeTree(path.join(content, entry))
  throw new CaissonError(
    'ERR_CAISSON_RESOURCE_EXHAUSTED',
    `volume ${name}: the image has more than ${size} bytes for it`,
    {
      stage: 'volume',
      hint: 'Make it larger.',
    },
  )
}

/** false: somebody uses it. Out of the way first, in one step, so that a crash leaves none that is half there. */
export async function deleteVolume(name: string): Promise<boolean> {
  if (!(await readVolume(name))) return true
  const fd = await locked(useLock(name), true, false)
  if (fd < 0) return false
  try {
    const away = path.join(volumes(), `.removed-${randomBytes(8).toString('hex')}`)
    await rename(directoryOf(name), away)
    await discard(away)
    return true
  } finally {
    addon().closeFd(fd)
  }
}

/** Whoever looks holds a lock for a moment, which others that look must not take for a use: they look again. */
const LOOKS = 3
const BETWEEN_MS = 10

/** Of these the ones that nobody uses. */
export async function unusedVolumes(names: readonly string[]): Promise<Set<string>> {
  const unused = new Set<string>()
  for (let look = 0; look < LOOKS && unused.size < names.length; look++) {
    if (look > 0) await sleep(BETWEEN_MS)
    for (const name of names) {
      const fd = unused.has(name) ? undefined : await locked(useLock(name), true, false).catch(unlessGone)
      if (fd === undefined || fd < 0) continue
      addon().closeFd(fd)
      unused.add(name)
    }
  }
  return unused
}

/** Its directory has been removed meanwhile. */
function unlessGone(error: CaissonError): undefined {
  if ((error.cause as { code?: string } | undefined)?.code !== 'ENOENT') throw error
}

/** What removals that were cut short have left. */
export async function sweepVolumes(): Promise<void> {
  for (const name of await readdir(volumes()).catch(() => []))
    if (name.startsWith('.removed-')) await discard(path.join(volumes(), name))
}

/** One that was moved out of the way, and the bounds of what it held. */
async function discard(away: string): Promise<void> {
  const definition = await readDescription(path.join(away, DESCRIPTION))
  await removeTree(away)
  if (definition?.quota) await forgetProject(volumes(), definition.quota.project)
}

export function volumeNotFound(name: string): CaissonError {
  return new CaissonError('ERR_CAISSON_VOLUME_NOT_FOUND', `there is no volume ${JSON.stringify(name)}`, {
    stage: 'volume',
    hint: 'Make it with Volume.create({ name }); Volume.list() shows what there is.',
  })
}

/** Bytes on disk of all below a directory, a file with several names once. A container may exchange what is there meanwhile. */
export async function usageOf(directory: string): Promise<{ bytes: number; files: number }> {
  const seen = new Set<string>()
  const usage = { bytes: 0, files: 0 }
  const top = await realpath(directory).catch(() => directory)
  for (const left = [top]; left.length > 0; ) {
    const at = left.pop() as string
    for (const { name, status } of await membersOf(at)) {
      if (status.isDirectory()) left.push(path.join(at, name))
      if (status.nlink > 1 && !status.isDirectory() && seen.has(`${status.dev}:${status.ino}`)) continue
      seen.add(`${status.dev}:${status.ino}`)
      usage.bytes += status.blocks * 512
      if (!status.isDirectory()) usage.files++
    }
  }
  return usage
}

/** None of what is no directory, or is reached through a link that was put on the way. */
async function membersOf(at: string): Promise<Array<{ name: string; status: Stats }>> {
  const flags = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW
  const handle = await open(at, flags).catch(() => undefined)
  if (!handle) return []
  try {
    const here = `/proc/self/fd/${handle.fd}`
    if ((await readlink(here)) !== at) return []
    const names = await readdir(here).catch(() => [])
    const found: Array<{ name: string; status: Stats }> = []
    for (const name of names) {
      const status = await lstat(path.join(here, name)).catch(() => undefined)
      if (status) found.push({ name, status })
    }
    return found
  } finally {
    await handle.close()
  }
}
