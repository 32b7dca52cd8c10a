/** Names of images, in full. */
import { invalidArgument } from '../errors.js'
import { formatReference } from '../reference/format.js'
import { parseReference, type Reference } from '../reference/parse.js'
import type { Descriptor } from '../spec/descriptor.js'

/** An image in the store, and its names there: full references. */
export interface NamedImage {
  descriptor: Descriptor
  names: string[]
}

/** Full references with a tag; a digest in one names the content, which has it anyway. */
export function fullNames(texts: readonly string[], parse: (text: string) => Reference | undefined): string[] {
  const names = new Set<string>()
  for (const text of texts) {
    const reference = parse(text)
    if (reference?.tag === undefined) continue
    const { digest: _, ...named } = reference
    names.add(formatReference(named))
  }
  return [...names]
}

/** The full name that a reference gives. Throws ERR_CAISSON_INVALID_ARGUMENT when it names content by a digest. */
export function fullTag(text: string, option = 'ref'): string {
  const reference = parseReference(text)
  if (reference.digest !== undefined) throw invalidArgument(option, text, 'a name without a digest')
  return formatReference(reference)
}

/** The full name in a reference; undefined: it names content by a digest alone. */
export function namedIn(text: string): string | undefined {
  const { digest: _, ...named } = parseReference(text)
  return named.tag === undefined ? undefined : formatReference(named)
}

/** What others wrote where a name may be, or only a tag, or anything: undefined when it is no name. */
export function nameIn(text: string): Reference | undefined {
  if (!/[/:]/.test(text)) return undefined
  try {
    return parseReference(text)
  } catch {
    return undefined
  }
}
