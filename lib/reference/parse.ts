/** From what people write to a full reference: `alpine` is docker.io/library/alpine:latest. */
import { CaissonError, invalidArgument } from '../errors.js'
import { readDigest } from '../spec/digest.js'
import { IDENTIFIER, PATH_MAX, REFERENCE, TEXT_MAX } from './grammar.js'

export interface Reference {
  /** Host and port: `docker.io`, `localhost:5000`. */
  registry: string
  /** The path there: `library/alpine`. */
  repository: string
  /** Absent only where there is a digest. */
  tag?: string
  /** Decides when both are there. */
  digest?: string
}

export const DEFAULT_REGISTRY = 'docker.io'
/** What docker.io was once called, and still is in old files. */
const OLD_REGISTRY = 'index.docker.io'
export const DEFAULT_NAMESPACE = 'library/'

/** Throws ERR_CAISSON_INVALID_ARGUMENT with what is wrong. */
export function parseReference(text: string): Reference {
  const reference = parseName(text)
  if (reference.tag === undefined && reference.digest === undefined) reference.tag = 'latest'
  return reference
}

/** The same, but a name without tag and digest stays without: it means all of a repository. */
export function parseName(text: string): Reference {
  if (typeof text !== 'string') throw invalidArgument('image', text, 'a name')
  if (text === '') throw wrong(text, 'it is empty')
  if (text.length > TEXT_MAX) throw wrong(text, `it is longer than ${TEXT_MAX} characters`)
  if (IDENTIFIER.test(text)) throw wrong(text, 'it is an id: 64 hexadecimal digits cannot be a name')
  const { registry, rest } = splitRegistry(text)
  const lower = namePart(rest)
  if (lower !== lower.toLowerCase())
    throw wrong(text, 'the repository has upper-case letters', `Write it in lower case: ${lower.toLowerCase()}.`)
  const match = REFERENCE.exec(`${registry}/${rest}`)
  if (!match || match[1] !== registry) throw wrong(text, 'it does not have the form [registry/]name[:tag][@digest]')
  const [, , repository, tag, digest] = match as unknown as [string, string, string, string?, string?]
  if (repository.length > PATH_MAX) throw wrong(text, `the repository is longer than ${PATH_MAX} characters`)
  if (digest !== undefined) {
    const read = readDigest(digest)
    if (read === 'unsupported') throw wrong(text, 'the digest has an algorithm that is not sha256, sha384 or sha512')
    if (typeof read !== 'object')
      throw wrong(text, 'the digest has a wrong number of digits, or others than 0-9 and a-f')
  }
  return { registry, repository, ...(tag === undefined ? {} : { tag }), ...(digest === undefined ? {} : { digest }) }
}

function splitRegistry(text: string): { registry: string; rest: string } {
  const slash = text.indexOf('/')
  const named = slash >= 0 && isRegistry(text.slice(0, slash))
  let [registry, rest] = named ? [text.slice(0, slash), text.slice(slash + 1)] : [DEFAULT_REGISTRY, text]
  if (registry === OLD_REGISTRY) registry = DEFAULT_REGISTRY
  if (registry === DEFAULT_REGISTRY && !rest.includes('/')) rest = `${DEFAULT_NAMESPACE}${rest}`
  return { registry, rest }
}

/**
 * The first part of a name is a registry when it cannot be a user's name: it has a dot, a colon or an upper-case letter,
 * or is `localhost`.
 */
export function isRegistry(first: string): boolean {
  return first === 'localhost' || /[.:]/.test(first) || first !== first.toLowerCase()
}

/** Without tag and digest, which may have upper-case letters. */
function namePart(text: string): string {
  const [name] = text.split('@') as [string]
  const colon = name.indexOf(':', name.lastIndexOf('/'))
  return colon < 0 ? name : name.slice(0, colon)
}

function wrong(text: unknown, why: string, hint = 'Names are such as alpine, alpine:3.20 or localhost:5000/team/app.') {
  const shown = typeof text === 'string' && text.length > 300 ? `${text.slice(0, 300)}...` : text
  return new CaissonError('ERR_CAISSON_INVALID_ARGUMENT', `image: ${JSON.stringify(shown)}: ${why}`, {
    stage: 'reference',
    hint,
  })
}
