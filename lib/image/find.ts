/** Images by what people call them: a name, an id or the beginning of one, a digest. */
import { CaissonError } from '../errors.js'
import { familiarReference, formatReference } from '../reference/format.js'
import { parseReference, type Reference } from '../reference/parse.js'
import type { Descriptor } from '../spec/descriptor.js'
import type { Store } from '../store/store.js'
import { readStored } from './stored.js'

export interface Found {
  descriptor: Descriptor
  /** The full name that it was found by; undefined: by its id or digest. */
  name?: string
}

/** Docker takes as few digits as one; with fewer than these, names of people would be taken for ids. */
const ID = /^(?:sha256:)?([0-9a-f]{4,64})$/

/** undefined: there is none. Names go before ids. */
export async function findImage(store: Store, text: string): Promise<Found | undefined> {
  const reference = referenceOf(text)
  if (reference) {
    const found = await findReference(store, reference)
    if (found) return found
  }
  const [, digits] = ID.exec(text) ?? []
  return digits === undefined ? undefined : findId(store, digits, text)
}

/** A digest decides; with a name before it, that name has to lead to it. */
async function findReference(store: Store, reference: Reference): Promise<Found | undefined> {
  if (reference.digest === undefined) {
    const name = formatReference(reference)
    const descriptor = await store.refs.get(name)
    return descriptor && { descriptor, name }
  }
  const prefix = `${reference.registry}/${reference.repository}`
  for (const { name, descriptor } of await store.refs.list()) {
    const same = descriptor.digest === reference.digest
    if (same && (name === undefined || name.startsWith(`${prefix}:`))) return { descriptor }
  }
  return undefined
}

async function findId(store: Store, digits: string, text: string): Promise<Found | undefined> {
  const found = new Map<string, Descriptor>()
  for (const { descriptor } of await store.refs.list()) {
    const ids = [descriptor.digest, await idOf(store, descriptor)]
    if (ids.some((id) => id?.startsWith(`sha256:${digits}`))) found.set(descriptor.digest, descriptor)
  }
  if (found.size > 1)
    throw new CaissonError('ERR_CAISSON_IMAGE_NOT_FOUND', `${text}: more than one id of an image begins so`, {
      stage: 'image',
      hint: 'Give more of the id.',
    })
  const [descriptor] = found.values()
  return descriptor && { descriptor }
}

/** undefined: it cannot be read here (another platform, or damage); then its digest is all that names it. */
async function idOf(store: Store, descriptor: Descriptor): Promise<string | undefined> {
  try {
    return (await readStored(store, descriptor)).manifest.config.digest
  } catch (error) {
    if (error instanceof CaissonError) return undefined
    throw error
  }
}

function referenceOf(text: string): Reference | undefined {
  if (/^sha256:/.test(text)) return undefined
  try {
    return parseReference(text)
  } catch (error) {
    if (ID.test(text)) return undefined
    throw error
  }
}

export function imageNotFound(text: string, hint: string): CaissonError {
  return new CaissonError('ERR_CAISSON_IMAGE_NOT_FOUND', `there is no image ${JSON.stringify(shown(text))}`, {
    stage: 'image',
    hint,
  })
}

function shown(text: string): string {
  const reference = ID.test(text) ? undefined : referenceOf(text)
  return reference ? familiarReference(reference) : text
}
