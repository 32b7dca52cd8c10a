/** HostConfig.Binds: `source:target[:options]` (moby daemon/volume/mounts, linux_parser). */
import type { Mount } from '../options.js'
import { badRequest } from './failure.js'

const PROPAGATION = new Set(['private', 'rprivate', 'shared', 'rshared', 'slave', 'rslave'])
/** At most one of each line; those of the last two lines ask for nothing that would be done otherwise. */
const KINDS: ReadonlyArray<ReadonlySet<string>> = [
  new Set(['rw', 'ro']),
  PROPAGATION,
  new Set(['z', 'Z']),
  new Set(['nocopy']),
  new Set(['consistent', 'cached', 'delegated']),
]

/** Throws 400 in Docker's words. */
export function parseBind(text: string): Mount {
  const parts = text.split(':')
  const [first = '', target = first, options = ''] = parts
  if (text === '' || parts.length > 3 || parts.some((part) => part === '')) throw invalid(text)
  if (parts.length === 1) return { type: 'volume', target: absolute(text, target) }
  const words = options === '' ? [] : options.split(',')
  const named = !first.startsWith('/')
  absolute(text, target, named ? 'volume' : 'bind')
  if (target === '/') throw invalid(text, "destination can't be '/'")
  for (const word of words) {
    const kind = KINDS.find((each) => each.has(word))
    if (!kind || words.filter((other) => kind.has(other)).length > 1) throw badRequest(`invalid mode: ${options}`)
  }
  const propagation = words.find((word) => PROPAGATION.has(word)) as Mount['propagation']
  // What passes between host and container is a matter of directories of the host.
  if (named && propagation) throw invalid(text, `invalid mode: ${options}`)
  if (words.includes('nocopy')) throw invalid(text, 'nocopy is not there')
  return {
    type: named ? 'volume' : 'bind',
    source: first,
    target,
    ...(words.includes('ro') ? { readOnly: true } : {}),
    ...(propagation ? { propagation } : {}),
  }
}

function absolute(text: string, target: string, type = 'volume'): string {
  if (target.startsWith('/')) return target
  throw invalid(
    text,
    `invalid mount config for type "${type}": invalid mount path: '${target}' mount path must be absolute`,
  )
}

function invalid(text: string, why?: string): Error {
  return badRequest(`invalid volume specification: '${text}'${why ? `: ${why}` : ''}`)
}
