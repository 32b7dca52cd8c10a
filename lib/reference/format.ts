/** References as text. */
import { IDENTIFIER } from './grammar.js'
import { DEFAULT_NAMESPACE, DEFAULT_REGISTRY, isRegistry, type Reference } from './parse.js'

/** `docker.io/library/alpine`. */
export function formatName({ registry, repository }: Reference): string {
  return `${registry}/${repository}`
}

/** All of it: `docker.io/library/alpine:latest`. */
export function formatReference(reference: Reference): string {
  return `${formatName(reference)}${suffix(reference)}`
}

/** As docker prints it, without what is understood: `alpine:latest`. */
export function familiarReference(reference: Reference): string {
  return `${familiarName(reference)}${suffix(reference)}`
}

/** `alpine`, `team/app`, `localhost:5000/app`. */
export function familiarName({ registry, repository }: Reference): string {
  if (registry !== DEFAULT_REGISTRY) return `${registry}/${repository}`
  const short = repository.startsWith(DEFAULT_NAMESPACE) ? repository.slice(DEFAULT_NAMESPACE.length) : repository
  // With another slash in it, it would no longer be read as one of the library.
  const name = short.includes('/') ? repository : short
  // What would be read as something else alone (an id, another registry) is written in full.
  return IDENTIFIER.test(name) || (name.includes('/') && isRegistry(name.split('/')[0] as string))
    ? `${registry}/${name}`
    : name
}

function suffix({ tag, digest }: Reference): string {
  return `${tag === undefined ? '' : `:${tag}`}${digest === undefined ? '' : `@${digest}`}`
}

/** Whether it is named by a pattern as `docker images --filter reference=` takes it (path.Match of Go). */
export function matchesReference(reference: Reference, pattern: string): boolean {
  const glob = globExpression(pattern)
  return glob !== undefined && (glob.test(familiarReference(reference)) || glob.test(familiarName(reference)))
}

/** `*` and `?` stop at slashes; `[a-z]`, `[^a]`, backslash; undefined: not a pattern. */
function globExpression(pattern: string): RegExp | undefined {
  let source = ''
  for (let at = 0; at < pattern.length; at++) {
    const character = pattern[at] as string
    if (character === '*') source += '[^/]*'
    else if (character === '?') source += '[^/]'
    else if (character === '[') {
      const end = pattern.indexOf(']', at + 2)
      if (end < 0) return undefined
      source += `[${pattern.slice(at + 1, end).replace(/[[\]\\]/g, '\\$&')}]`
      at = end
    } else source += (character === '\\' ? (pattern[++at] ?? '\\') : character).replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')
  }
  try {
    return new RegExp(`^${source}$`, 'u')
  } catch {
    return undefined
  }
}
