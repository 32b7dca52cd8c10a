/** Filters of images, as docker's. */
import { invalidArgument } from '../errors.js'
import { matchesReference } from '../reference/format.js'
import { parseReference } from '../reference/parse.js'
import type { ImageConfig, ImageDocument } from '../spec/image.js'
import type { Store } from '../store/store.js'
import { type Abortable, checkAborted } from '../util/abort.js'
import { checkNames, type Names } from '../util/option-names.js'
import { parseDuration } from '../util/units.js'
import { findImage, imageNotFound } from './find.js'
import type { NamedImage } from './names.js'
import { readStored } from './stored.js'

export interface ImageFilter extends Abortable {
  /** A pattern as `alpine:3.*` or `localhost:5000/*`, or several of which one must fit. */
  reference?: string | readonly string[]
  /** Only those without a name, or only those with one. */
  dangling?: boolean
  /** `name`, or `name=value`; all must be there. */
  label?: string | readonly string[]
  /** Only those that were made before this image (a name or an id), or after it. */
  before?: string
  since?: string
  /** Only those that were made before: a time, or how long ago, as `24h`. */
  until?: Date | string
}

const FILTER: Names<ImageFilter> = {
  reference: true,
  dangling: true,
  label: true,
  before: true,
  since: true,
  until: true,
  signal: true,
}

/** What fits a filter: by its names alone, and by its configuration. */
export interface Fits {
  names(image: NamedImage): boolean
  document(document: ImageDocument): boolean
}

/** Throws ERR_CAISSON_INVALID_ARGUMENT for what nobody knows, and ERR_CAISSON_IMAGE_NOT_FOUND. */
export async function imageFilter(store: Store, filter: ImageFilter): Promise<Fits> {
  checkNames(filter, FILTER, '')
  checkAborted(filter.signal, 'images')
  const { dangling } = filter
  if (dangling !== undefined && typeof dangling !== 'boolean') throw invalidArgument('dangling', dangling, 'a boolean')
  const references = filter.reference === undefined ? undefined : texts(filter.reference, 'reference')
  const labels = texts(filter.label ?? [], 'label')
  const until = filter.until === undefined ? undefined : momentOf(filter.until)
  const before = filter.before === undefined ? undefined : await createdOf(store, filter.before)
  const since = filter.since === undefined ? undefined : await createdOf(store, filter.since)
  return {
    names({ names }) {
      if (dangling !== undefined && dangling !== (names.length === 0)) return false
      if (references === undefined) return true
      return names.some((name) => references.some((pattern) => matchesReference(parseReference(name), pattern)))
    },
    document({ config, created }) {
      const time = created === undefined ? Number.NaN : Date.parse(created)
      if (until !== undefined && !(time < until)) return false
      if (before !== undefined && !(time < before)) return false
      if (since !== undefined && !(time > since)) return false
      return labels.every((text) => hasLabel(config, text))
    },
  }
}

function hasLabel({ Labels = {} }: ImageConfig, text: string): boolean {
  const equals = text.indexOf('=')
  if (equals < 0) return Object.hasOwn(Labels, text)
  const name = text.slice(0, equals)
  return Object.hasOwn(Labels, name) && Labels[name] === text.slice(equals + 1)
}

async function createdOf(store: Store, ref: string): Promise<number> {
  const found = await findImage(store, ref)
  if (!found) throw imageNotFound(ref, 'See Image.list().')
  const { document } = await readStored(store, found.descriptor)
  return Date.parse(document.created ?? '')
}

/** Milliseconds since 1970. Docker takes a duration, seconds since 1970, or a time as RFC 3339 writes it. */
function momentOf(until: Date | string): number {
  const wanted = 'a Date, a time as 2026-01-31T12:00:00Z, or how long ago, as 24h'
  if (until instanceof Date && !Number.isNaN(until.getTime())) return until.getTime()
  if (typeof until !== 'string') throw invalidArgument('until', until, wanted)
  if (/^\d{9,}(?:\.\d+)?$/.test(until)) return Number(until) * 1000
  const time = /^\d{4}-\d\d-\d\d/.test(until) ? Date.parse(until) : Number.NaN
  if (!Number.isNaN(time)) return time
  if (/^(?:\d+(?:\.\d+)?(?:ms|s|m|h))+$/.test(until)) return Date.now() - parseDuration(until, 'until')
  throw invalidArgument('until', until, wanted)
}

function texts(value: unknown, option: string): readonly string[] {
  const list = Array.isArray(value) ? value : [value]
  if (list.some((text) => typeof text !== 'string')) throw invalidArgument(option, value, 'a string, or a list of them')
  return list
}
