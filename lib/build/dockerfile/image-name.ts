/** Names of images, completed as Docker completes them: `debian` is `docker.io/library/debian:latest`. */
import { fault } from './source.js'
import { quote } from './text.js'

const LABEL = '(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])'
const DOMAIN = new RegExp(`^(?:${LABEL}(?:\\.${LABEL})*|\\[[a-fA-F0-9:]+\\])(?::[0-9]+)?$`)
const PART = /^[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*$/
const TAG = /^\w[\w.-]{0,127}$/
const DIGEST = /^[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}$/
const LONGEST = 255

/** @throws CaissonError ERR_CAISSON_DOCKERFILE */
export function completeImageName(name: string): string {
  const parsed = parse(name)
  if (!parsed)
    throw fault(
      `failed to parse stage name ${quote(name)}: invalid reference format`,
      'A name is [host/]path[:tag][@digest], with the path in lower case.',
    )
  const { domain, path, tag, digest } = parsed
  return `${domain}/${path}${tag ? `:${tag}` : digest ? '' : ':latest'}${digest ? `@${digest}` : ''}`
}

export function isImageName(name: string): boolean {
  return parse(name) !== undefined
}

function parse(name: string): { domain: string; path: string; tag?: string; digest?: string } | undefined {
  // Longer ones are refused before they are looked at.
  if (name.length > 2 * LONGEST || /^[0-9a-f]{64}$/.test(name)) return undefined
  const [rest = '', digest] = name.split(/@(.*)/s, 2)
  const slash = rest.indexOf('/')
  const first = rest.slice(0, Math.max(slash, 0))
  const hasDomain = slash > 0 && (/[.:]/.test(first) || first === 'localhost' || first !== first.toLowerCase())
  const domain = !hasDomain || first === 'index.docker.io' ? 'docker.io' : first
  const [remote = '', tag] = (hasDomain ? rest.slice(slash + 1) : rest).split(/:(.*)/s, 2)
  const path = domain === 'docker.io' && !remote.includes('/') ? `library/${remote}` : remote
  const right =
    DOMAIN.test(domain) &&
    path.split('/').every((part) => PART.test(part)) &&
    (tag === undefined || TAG.test(tag)) &&
    (digest === undefined || DIGEST.test(digest)) &&
    domain.length + 1 + path.length <= LONGEST
  return right ? { domain, path, tag, digest } : undefined
}
