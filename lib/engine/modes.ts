/** Modes of namespaces as HostConfig writes them: `host`, `container:NAME` and the like. */
import { badRequest } from './failure.js'

/** A namespace of the container's own, the host's, or that of another container. */
export type Mode = 'private' | 'host' | { container: string }

/** What a kind of namespace may be, beside private and host. */
interface Rule {
  container?: boolean
  words: readonly string[]
}

const RULES = {
  PidMode: { container: true, words: ['', 'private'] },
  IpcMode: { container: true, words: ['', 'private', 'shareable'] },
  UTSMode: { words: [''] },
  UsernsMode: { words: [''] },
  CgroupnsMode: { words: ['', 'private'] },
} as const satisfies Record<string, Rule>

export type ModeName = keyof typeof RULES

/** undefined: nothing is asked for. Throws 400 for a mode that there is not. */
export function parseMode(name: ModeName, text: string | undefined): Mode | undefined {
  const { words, container = false }: Rule = RULES[name]
  if (text === undefined || text === '') return undefined
  if (text === 'host') return 'host'
  const [, other] = /^container:(.+)$/s.exec(text) ?? []
  if (container && other !== undefined) return { container: other }
  if (words.includes(text)) return 'private'
  throw badRequest(`invalid ${name}: ${text}`)
}

/** NetworkMode: none, the host's, another container's, or a network by its name or id. */
export type NetworkMode = 'none' | 'host' | { container: string } | { network: string }

const DEFAULT_NETWORK = 'bridge'

export function parseNetworkMode(text = ''): NetworkMode {
  if (text === 'none' || text === 'host') return text
  const [, other] = /^container:(.*)$/s.exec(text) ?? []
  if (other === '') throw badRequest('NetworkMode: container: is of no container')
  if (other !== undefined) return { container: other }
  return { network: text === '' || text === 'default' ? DEFAULT_NETWORK : text }
}
