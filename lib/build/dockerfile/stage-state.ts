/** What is known of a stage between two of its instructions: variables, and the image so far. */
import type { HistoryEntry, ImageConfig } from '../../spec/image.js'
import { Environment, splitVariable } from './environment.js'
import type { ImageState } from './plan-types.js'
import type { Platform } from './platform.js'
import { fault } from './source.js'
import { joinPath } from './text.js'

const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
const COMMENT = 'caisson.dockerfile.v0'
/** Units of the history of one image: what a Dockerfile can say a million times must still fit into a configuration. */
const MOST_HISTORY = 8 * 1024 * 1024

export class StageState {
  readonly platform: Platform
  readonly config: ImageConfig
  readonly history: HistoryEntry[]
  author?: string
  /** Variables of the image and of ARG together. */
  readonly env: Environment
  /** What ARG declared, in order of the first time; also in the stages below. */
  readonly args: Map<string, string>
  /** WORKDIR was used in this file, so it no longer depends on a base image. */
  workdirSet: boolean
  private readonly created?: string
  private historySize = 0
  /** Where in `Env` a variable stands. */
  private readonly places = new Map<string, number>()

  constructor(from: ImageState, epoch: number | undefined, below?: StageState) {
    this.platform = platformOf(from)
    this.config = structuredClone(from.config)
    this.history = [...from.history]
    this.author = from.author
    this.args = new Map(below?.args)
    this.workdirSet = below?.workdirSet ?? false
    this.created = epoch === undefined ? undefined : new Date(epoch * 1000).toISOString().replace('.000Z', 'Z')
    // Triggers are for one generation.
    delete this.config.OnBuild
    const texts = this.config.Env ?? []
    if (!texts.some((text) => text === 'PATH' || text.startsWith('PATH='))) texts.push(`PATH=${DEFAULT_PATH}`)
    this.config.Env = texts
    this.env = below?.env.clone() ?? new Environment()
    texts.forEach((text, index) => {
      const [name, value] = splitVariable(text)
      if (!this.places.has(name)) this.places.set(name, index)
      this.env.set(name, value)
    })
    if (this.config.WorkingDir) this.config.WorkingDir = absolute(this.config.WorkingDir, '/')
  }

  get workdir(): string {
    return this.config.WorkingDir || '/'
  }

  get user(): string {
    return this.config.User ?? ''
  }

  /** Sets a variable of the image, in the place that it had. */
  setEnv(name: string, value: string): void {
    this.env.set(name, value)
    const texts = this.config.Env as string[]
    const index = this.places.get(name) ?? texts.length
    this.places.set(name, index)
    texts[index] = `${name}=${value}`
  }

  /** @returns the index of the entry. */
  commit(createdBy: string, withLayer = false): number {
    this.historySize += createdBy.length
    if (this.historySize > MOST_HISTORY)
      throw fault('the history of this image is longer than 8 MiB', 'Shorten what its instructions say.')
    this.history.push({
      ...(this.created === undefined ? {} : { created: this.created }),
      created_by: createdBy,
      comment: COMMENT,
      ...(withLayer ? {} : { empty_layer: true }),
    })
    return this.history.length - 1
  }

  image(): ImageState {
    const { platform, author, config, history } = this
    return { ...platform, ...(author === undefined ? {} : { author }), config, history }
  }
}

/** A member of an object by any name, `__proto__` too. */
export function setOwn<T>(object: Record<string, T>, name: string, value: T): void {
  Object.defineProperty(object, name, { value, writable: true, enumerable: true, configurable: true })
}

/** A path taken relative to a directory; an absolute one as it is. */
export function absolute(path: string, directory: string): string {
  if (path === '') return directory
  return path.startsWith('/') ? path : joinPath('/', directory, path)
}

/** What FROM scratch begins with. */
export function emptyImage(platform: Platform): ImageState {
  return { ...platformOf(platform), config: { Env: [`PATH=${DEFAULT_PATH}`], WorkingDir: '/' }, history: [] }
}

function platformOf({ os, architecture, variant, osVersion }: Platform): Platform {
  return { os, architecture, ...(variant ? { variant } : {}), ...(osVersion ? { osVersion } : {}) }
}
