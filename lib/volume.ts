/** Directories that outlive containers, and that several may share. */
import { CaissonError, invalidArgument } from './errors.js'
import { containersWith } from './runtime/container/volumes.js'
import { owner } from './runtime/process/owner.js'
import { type Abortable, checkAborted, unlessAborted } from './util/abort.js'
import { newId } from './util/ids.js'
import { checkNames, type Names } from './util/option-names.js'
import type { Size } from './util/units.js'
import {
  checkVolumeName,
  contentOf,
  deleteVolume,
  makeVolume,
  readVolume,
  readVolumes,
  unusedVolumes,
  usageOf,
  type VolumeDefinition,
  volumeNotFound,
  volumeSize,
} from './volume/store.js'

export interface VolumeOptions extends Abortable {
  /** Default: 64 random digits; such a volume goes with the container that it was made for. */
  name?: string
  labels?: Record<string, string>
  /** Bytes that it may hold. Root's, and where the file system of CAISSON_ROOT has quotas of projects; else an error. */
  size?: Size
}

export interface VolumeFilter extends Abortable {
  name?: string
  labels?: Record<string, string>
  /** Those that nobody gave a name. */
  anonymous?: boolean
  /** Those that no container of any process has. */
  dangling?: boolean
}

const FILTER: Names<VolumeFilter> = { name: true, labels: true, anonymous: true, dangling: true, signal: true }

export interface VolumeUsage {
  /** On disk. */
  bytes: number
  files: number
  /** Containers of this process that have it. */
  containers: string[]
}

export interface VolumeInspection {
  name: string
  /** Its content, as a directory of the host. */
  path: string
  labels: Readonly<Record<string, string>>
  created: Date
  anonymous: boolean
  /** Bytes that it may hold; absent: as many as the file system has. */
  size?: number
  /** Containers of this process that have it. */
  containers: string[]
}

export class Volume {
  readonly name: string
  readonly labels: Readonly<Record<string, string>>
  readonly created: Date
  readonly anonymous: boolean
  /** Bytes that it may hold; absent: as many as the file system has. */
  readonly size?: number

  private constructor({ name, labels, created, anonymous, quota }: VolumeDefinition) {
    this.name = name
    if (quota) this.size = quota.bytes
    this.labels = labels
    this.created = new Date(created)
    this.anonymous = anonymous
  }

  /** One of that name that is there is as good, with the labels that it has, unless another size is asked for. */
  static async create(options: VolumeOptions = {}): Promise<Volume> {
    if (typeof options !== 'object' || options === null) throw invalidArgument('options', options, 'an object')
    const { name, labels = {}, size, signal, ...rest } = options
    for (const key in rest) throw invalidArgument('options', key, 'an option of volumes (name, labels, size)')
    if (typeof labels !== 'object' || labels === null) throw invalidArgument('labels', labels, 'an object')
    checkAborted(signal, 'volume')
    await owner()
    const anonymous = name === undefined
    return new Volume(
      await makeVolume({
        name: anonymous ? newId() : checkVolumeName(name, 'name'),
        labels,
        anonymous,
        size: size === undefined ? undefined : volumeSize(size, 'size'),
      }),
    )
  }

  static async get(name: string, options: Abortable = {}): Promise<Volume> {
    checkAborted(options.signal, 'volume')
    const found = await readVolume(checkVolumeName(name, 'name'))
    if (!found) throw volumeNotFound(name)
    return new Volume(found)
  }

  static async list(filter: VolumeFilter = {}): Promise<Volume[]> {
    checkNames(filter, FILTER, '')
    checkAborted(filter.signal, 'volume')
    const { dangling } = filter
    if (dangling !== undefined && typeof dangling !== 'boolean')
      throw invalidArgument('dangling', dangling, 'a boolean')
    const all = await readVolumes()
    const unused = dangling === undefined ? undefined : await unusedVolumes(all.map(({ name }) => name))
    return all
      .filter(({ name }) => unused === undefined || unused.has(name) === dangling)
      .filter(({ name }) => filter.name === undefined || filter.name === name)
      .filter(({ anonymous }) => filter.anonymous === undefined || filter.anonymous === anonymous)
      .filter(({ labels }) => Object.entries(filter.labels ?? {}).every(([key, value]) => labels[key] === value))
      .sort((a, b) => a.name.localeCompare(b.name))
      .map((definition) => new Volume(definition))
  }

  /** Removes those that no container has: without a filter only those without a name. Gives what was removed. */
  static async prune(filter: VolumeFilter = {}): Promise<string[]> {
    checkNames(filter, FILTER, '')
    const removed: string[] = []
    const { signal, ...chosen } = filter
    const isGiven = Object.values(chosen).some((value) => value !== undefined)
    for (const { name } of await Volume.list(isGiven ? filter : { ...filter, anonymous: true })) {
      checkAborted(signal, 'volume')
      if (await deleteVolume(name)) removed.push(name)
    }
    return removed
  }

  /** Its content, as a directory of the host. */
  get path(): string {
    return contentOf(this.name)
  }

  inspect(): VolumeInspection {
    const { name, path, labels, created, anonymous, size } = this
    return { name, path, labels, created, anonymous, size, containers: containersWith(name) }
  }

  async usage({ signal }: Abortable = {}): Promise<VolumeUsage> {
    checkAborted(signal, 'volume')
    if (!(await readVolume(this.name))) throw volumeNotFound(this.name)
    return { ...(await unlessAborted(usageOf(this.path), signal, 'volume')), containers: containersWith(this.name) }
  }

  /** An error while a container has it. Removing twice is no error. */
  async remove(options: Abortable = {}): Promise<void> {
    checkAborted(options.signal, 'volume')
    if (await deleteVolume(this.name)) return
    const users = containersWith(this.name).map((id) => id.slice(0, 12))
    throw new CaissonError(
      'ERR_CAISSON_IN_USE',
      `volume ${this.name} is used by ${users.length > 0 ? users.join(', ') : 'another process'}`,
      { stage: 'volume', hint: 'Remove the containers that have it first.' },
    )
  }
}
