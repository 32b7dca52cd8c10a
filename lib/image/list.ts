/** Which images there are. */
import { invalidArgument } from '../errors.js'
import { matchesReference } from '../reference/format.js'
import { parseReference } from '../reference/parse.js'
import type { ImageConfig } from '../spec/image.js'
import type { Store } from '../store/store.js'
import type { NamedImage } from './names.js'

export interface ImageFilter {
  /** A pattern as `alpine:3.*` or `localhost:5000/*`, or several of which one must fit. */
  reference?: string | readonly string[]
  /** Only those without a name, or only those with one. */
  dangling?: boolean
  /** `name`, or `name=value`; all must be there. */
  label?: string | readonly string[]
}

/** Each image once, with all its names, in the order in which they came. */
export async function namedImages(store: Store): Promise<NamedImage[]> {
  const images = new Map<string, NamedImage>()
  for (const { name, descriptor } of await store.refs.list()) {
    const image = images.get(descriptor.digest) ?? { descriptor, names: [] }
    if (name !== undefined) image.names.push(name)
    images.set(descriptor.digest, image)
  }
  return [...images.values()]
}

/** By what names alone tell. */
export function fitsNames({ names }: NamedImage, { reference, dangling }: ImageFilter): boolean {
  if (dangling !== undefined && dangling !== (names.length === 0)) return false
  if (reference === undefined) return true
  const patterns = texts(reference, 'reference')
  return names.some((name) => patterns.some((pattern) => matchesReference(parseReference(name), pattern)))
}

export function fitsLabels({ Labels = {} }: ImageConfig, { label }: ImageFilter): boolean {
  return texts(label ?? [], 'label').every((text) => {
    const equals = text.indexOf('=')
    if (equals < 0) return Object.hasOwn(Labels, text)
    const name = text.slice(0, equals)
    return Object.hasOwn(Labels, name) && Labels[name] === text.slice(equals + 1)
  })
}

function texts(value: unknown, option: string): readonly string[] {
  const list = Array.isArray(value) ? value : [value]
  if (list.some((text) => typeof text !== 'string')) throw invalidArgument(option, value, 'a string, or a list of them')
  return list
}
