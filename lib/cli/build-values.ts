/** Values of flags of `caisson build`, as docker build has them. */
import type { BuildOptions, BuildOutput, CacheSource, CacheTarget } from '../index.js'
import { usageError } from './usage.js'
import { parsePair } from './values.js'

export function optionalValues(list: readonly string[] | undefined): BuildOptions['args'] {
  return list && Object.fromEntries(list.map((text) => text.split(/=(.*)/s, 2) as [string, string | undefined]))
}

/** What `--output` asks for beside an image in the store. */
export interface Outputs {
  output: BuildOutput[]
  push: boolean
  tags: string[]
  compression?: 'none' | 'gzip'
}

const OUTPUTS = 'Write type=local,dest=DIRECTORY, or tar, oci, docker, image or registry.'

/**
 * `type=local,dest=out`; as docker, a path alone is `local`, and - is a tar archive to the standard output. `image` is what
 * a build comes to in any case, with other names and to a registry when asked; `registry` is that with push=true.
 */
export function outputsOf(list: readonly string[] | undefined): Outputs {
  const outputs: Outputs = { output: [], push: false, tags: [] }
  for (const text of list ?? []) addOutput(outputs, text)
  return outputs
}

function addOutput(outputs: Outputs, text: string): void {
  const wrong = () => usageError(`--output: ${text} is not understood`, OUTPUTS)
  if (text === '-') outputs.output.push({ type: 'tar', dest: process.stdout })
  else if (!text.includes('=')) outputs.output.push({ type: 'local', dest: text })
  else {
    const { type = '', dest, name, push, compression, ...others } = fields(text, '--output')
    if (Object.keys(others).length > 0) throw wrong()
    const isImage = type === 'image' || type === 'registry'
    if (isImage || (type === 'docker' && dest === undefined)) {
      if (dest !== undefined || (push !== undefined && !['true', 'false'].includes(push))) throw wrong()
      outputs.push ||= push === 'true' || (type === 'registry' && push === undefined)
    } else if (['local', 'tar', 'oci', 'docker'].includes(type) && dest !== undefined && push === undefined)
      outputs.output.push({ type: type as 'tar', dest: dest === '-' && type !== 'local' ? process.stdout : dest })
    else throw wrong()
    if (name !== undefined) outputs.tags.push(...name.split(',').filter((each) => each !== ''))
    if (compression !== undefined) outputs.compression = compressionOf(compression)
  }
}

/** docker's words. */
function compressionOf(text: string): 'none' | 'gzip' {
  if (text === 'uncompressed') return 'none'
  if (text === 'gzip') return 'gzip'
  throw usageError(`--output: compression=${text} is not there`, 'There are gzip and uncompressed.')
}

/** As docker: a name alone is that of a registry's. */
export function cacheSourceOf(text: string): CacheSource {
  if (!text.includes('=')) return { type: 'registry', ref: text }
  const { type, ref, src, ...others } = fields(text, '--cache-from')
  if (Object.keys(others).length === 0) {
    if (type === 'registry' && ref !== undefined && src === undefined) return { type, ref }
    if (type === 'local' && src !== undefined && ref === undefined) return { type, src }
  }
  throw usageError(
    `--cache-from: ${text} is not understood`,
    'Write type=registry,ref=NAME or type=local,src=DIRECTORY.',
  )
}

export function cacheTargetOf(text: string): CacheTarget {
  if (text === 'inline') return { type: 'inline' }
  if (!text.includes('=')) return { type: 'registry', ref: text }
  const { type, ref, dest, mode, ...others } = fields(text, '--cache-to')
  const known = Object.keys(others).length === 0 && ['min', 'max', undefined].includes(mode)
  const more = mode === undefined ? {} : { mode: mode as 'min' }
  if (known && type === 'registry' && ref !== undefined && dest === undefined) return { type, ref, ...more }
  if (known && type === 'local' && dest !== undefined && ref === undefined) return { type, dest, ...more }
  if (known && type === 'inline' && (ref ?? dest ?? mode) === undefined) return { type }
  throw usageError(
    `--cache-to: ${text} is not understood`,
    'Write type=registry,ref=NAME, type=local,dest=DIRECTORY or type=inline.',
  )
}

export function secretsOf(list: readonly string[] | undefined): BuildOptions['secrets'] {
  return (
    list &&
    Object.fromEntries(
      list.map((text) => {
        const { id, src, source = src, env } = fields(text, '--secret')
        if (id === undefined) throw usageError(`--secret: ${text} has no id`, 'Write id=ID,src=FILE or id=ID,env=NAME.')
        if (source !== undefined) return [id, { file: source }]
        return [id, { env: env ?? id }]
      }),
    )
  )
}

export function agentsOf(list: readonly string[] | undefined): BuildOptions['ssh'] {
  return (
    list &&
    Object.fromEntries(
      list.map((text) => {
        const [id = '', socket = process.env.SSH_AUTH_SOCK] = text.split(/=(.*)/s, 2)
        if (!socket) throw usageError(`--ssh ${id}: SSH_AUTH_SOCK is not set`, 'Write --ssh ID=SOCKET.')
        return [id, socket]
      }),
    )
  )
}

export function keyValues(list: readonly string[] | undefined, flag: string): Record<string, string> | undefined {
  return list && Object.fromEntries(list.map((text) => parsePair(text, flag)))
}

/** `a=b,c=d`; as docker, a part in quotes may hold commas: `type=image,"name=a,b"`. */
function fields(text: string, flag: string): Record<string, string | undefined> {
  const parts = text.match(/(?:"(?:[^"]|"")*"|[^",])+/g) ?? []
  const plain = parts.map((part) => (part.startsWith('"') ? part.slice(1, -1).replaceAll('""', '"') : part))
  return keyValues(plain, flag) ?? {}
}
