/** The types of what a build is given: JavaScript may give anything, and a number as a context would be a descriptor. */
import { type CaissonError, invalidArgument } from '../errors.js'
import { Image } from '../image.js'
import type { BuildOptions, BuildOutput, SecretSource } from './options.js'

type Check = (value: unknown) => boolean

const isText: Check = (value) => typeof value === 'string'
const isTexts: Check = (value) => isText(value) || (Array.isArray(value) && value.every(isText))
const isStream: Check = (value) => typeof (value as { write?: unknown } | null)?.write === 'function'
const isBytes: Check = (value) =>
  value instanceof Uint8Array || (typeof value === 'object' && value !== null && Symbol.asyncIterator in value)

function isRecord(value: unknown, of: Check): boolean {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  return Object.values(value).every(of)
}

function isOneOf(...names: readonly unknown[]): Check {
  return (value) => names.includes(value)
}

function isListOf(fits: Check): Check {
  return (value) => [value].flat().every(fits)
}

const isPlace: Check = (value) => isText(value) && value !== ''

function isCacheSource(cache: unknown): boolean {
  const { type, ref, src } = (cache ?? {}) as Record<string, unknown>
  return (type === 'registry' && isPlace(ref)) || (type === 'local' && isPlace(src))
}

function isCacheTarget(cache: unknown): boolean {
  const { type, ref, dest, mode } = (cache ?? {}) as Record<string, unknown>
  if (!['min', 'max', undefined].includes(mode as undefined)) return false
  return (type === 'registry' && isPlace(ref)) || (type === 'local' && isPlace(dest)) || type === 'inline'
}

/** By option, with what is wanted in words. */
const CHECKS: Partial<Record<keyof BuildOptions, [Check, string]>> = {
  context: [(value) => isText(value) || isBytes(value), 'a path or address, or a tar archive as a stream or bytes'],
  dockerfile: [(value) => isText(value) || isText((value as { text?: unknown } | null)?.text), 'a path or { text }'],
  target: [isText, 'the name of a stage'],
  platform: [isTexts, 'a platform as linux/arm64, or a list of them'],
  tag: [isTexts, 'a name, or a list of them'],
  args: [(value) => isRecord(value, (each) => each === undefined || isText(each)), 'an object of strings'],
  labels: [(value) => isRecord(value, isText), 'an object of strings'],
  secrets: [(value) => isRecord(value, isSecret), 'an object of strings, bytes, { file } or { env }'],
  ssh: [(value) => typeof value === 'boolean' || isRecord(value, isText), 'true, or an object of paths'],
  contexts: [
    (value) => isRecord(value, (each) => isText(each) || each instanceof Image),
    'an object of paths, addresses and images',
  ],
  pull: [
    (value) => typeof value === 'boolean' || isOneOf('missing', 'always', 'never')(value),
    'missing, always or never',
  ],
  noCache: [
    (value) => typeof value === 'boolean' || (Array.isArray(value) && value.every(isText)),
    'true, or names of stages',
  ],
  push: [(value) => typeof value === 'boolean', 'true or false'],
  compression: [isOneOf('none', 'gzip'), 'none or gzip'],
  cacheFrom: [isListOf(isCacheSource), "{ type: 'registry', ref: NAME } or { type: 'local', src: DIRECTORY }"],
  cacheTo: [
    isListOf(isCacheTarget),
    "{ type: 'registry', ref: NAME }, { type: 'local', dest: DIRECTORY } or { type: 'inline' }",
  ],
  onProgress: [(value) => typeof value === 'function', 'a function'],
  signal: [(value) => value instanceof AbortSignal, 'an AbortSignal'],
}

function isSecret(source: unknown): boolean {
  if (isText(source) || source instanceof Uint8Array) return true
  const { file, env } = (source ?? {}) as Partial<Record<'file' | 'env', SecretSource>>
  return isText(file) || isText(env)
}

export function checkTypes(options: BuildOptions): void {
  for (const [name, [fits, wanted]] of Object.entries(CHECKS)) {
    const value = options[name as keyof BuildOptions]
    if (value !== undefined && !fits(value)) throw invalidArgument(name, value, wanted)
  }
  for (const output of [options.output ?? []].flat()) checkOutput(output)
}

function checkOutput(output: BuildOutput): void {
  const wrong = (): CaissonError =>
    invalidArgument(
      'output',
      output,
      "{ type, dest } with type 'local', 'tar', 'oci' or 'docker', and a path or stream",
    )
  if (typeof output !== 'object' || output === null) throw wrong()
  const { type, dest } = output
  if (!['local', 'tar', 'oci', 'docker'].includes(type)) throw wrong()
  if (!isText(dest) && (type === 'local' || !isStream(dest))) throw wrong()
}
