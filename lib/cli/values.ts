/** Values of single flags, read by docker's rules (docker/cli opts). */
import { readFileSync } from 'node:fs'
import { isIPv4, isIPv6 } from 'node:net'
import path from 'node:path'
import { resourceName } from '../spec/rlimits.js'
import { type Environment, variableIn } from '../util/variable.js'
import type { Flags } from './flags.js'
import { usageError } from './usage.js'

/** `NAME=value`; a bare `NAME` takes the caller's value, and unsets the image's where the caller has none. */
export function parseEnv(text: string, own: Environment = process.env): [name: string, value: string | undefined] {
  const equals = text.indexOf('=')
  if (text === '' || equals === 0) throw usageError(`--env: ${JSON.stringify(text)} has no name`, 'Write NAME=value.')
  return equals < 0 ? [text, variableIn(own, text)] : [text.slice(0, equals), text.slice(equals + 1)]
}

/** `--env A=1 --env B`: those that have a value, here or in the caller's environment. */
export function setVariables(given: readonly string[] = []): Record<string, string> {
  const pairs = given.map((each) => parseEnv(each))
  return Object.fromEntries(pairs.filter((pair): pair is [string, string] => pair[1] !== undefined))
}

/**
 * Lines as for --env; `#` begins a comment line, and nothing is quoted. A bare name that the caller has no value for says
 * nothing here.
 */
export function parseEnvFile(text: string, own: Environment = process.env): Array<[string, string]> {
  return text
    .replace(/^\uFEFF/, '')
    .split(/\r?\n/)
    .map((line) => line.trimStart())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .flatMap((line): Array<[string, string]> => {
      const [name, value] = parseEnv(line, own)
      if (/\s/.test(name))
        throw usageError(`--env-file: the name ${JSON.stringify(name)} holds a space`, 'Write NAME=value.')
      return value === undefined ? [] : [[name, value]]
    })
}

export function readText(file: string, flag: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(readFileSync(file))
  } catch (error) {
    if (error instanceof TypeError) throw usageError(`${flag}: ${file} is not UTF-8`, 'Give a file of UTF-8 text.')
    throw usageError(`${flag}: ${(error as Error).message}`, 'Give a file that can be read.')
  }
}

/** `key=value`, or `key` with an empty value. */
export function parseLabel(text: string): [key: string, value: string] {
  const equals = text.indexOf('=')
  const key = (equals < 0 ? text : text.slice(0, equals)).trimStart()
  if (key.trim() === '') throw usageError(`--label: ${JSON.stringify(text)} has no key`, 'Write KEY=value.')
  if (/\s/.test(key)) throw usageError(`--label: the key ${JSON.stringify(key)} holds a space`, 'Write KEY=value.')
  return [key, equals < 0 ? '' : text.slice(equals + 1)]
}

/** `name:address` or `name=address`, with the address in brackets or without. */
export function parseHost(text: string): { name: string; address: string } {
  const wanted = 'Write NAME:ADDRESS, with an IPv4 or IPv6 address.'
  const match = /^([^:=]+)[:=](.*)$/.exec(text)
  if (!match) throw usageError(`--add-host: ${JSON.stringify(text)} is not a name and an address`, wanted)
  const [, name = '', given = ''] = match
  const address = /^\[.*\]$/.test(given) ? given.slice(1, -1) : given
  // The engine puts its own address there.
  if (address !== 'host-gateway' && !isIPv4(address) && !(isIPv6(address) && !address.includes('%')))
    throw usageError(`--add-host: ${JSON.stringify(given)} is not an address`, wanted)
  return { name, address }
}

export interface DeviceValue {
  source: string
  target: string
  access: string
}

const isAccess = (text: string) => /^[rwm]{1,3}$/.test(text) && new Set(text).size === text.length

/** `/dev/fuse`, `/dev/fuse:rw`, `/dev/host:/dev/inside` or all three. */
export function parseDevice(text: string): DeviceValue {
  const hint = 'Write /dev/NAME, /dev/NAME:/dev/INSIDE, or either with :rwm.'
  const parts = text.split(':')
  const [source = '', second, third] = parts
  if (/^[^/]+\/[^/=]+=/.test(text))
    throw usageError(`--device: ${text} is a CDI name`, 'caisson takes device nodes only.')
  let [target, access] = [source, 'rwm']
  if (third !== undefined) [target, access] = [second ?? '', third]
  else if (second !== undefined && isAccess(second)) access = second
  else if (second !== undefined) target = second
  if (parts.length > 3 || source === '' || !target.startsWith('/') || !isAccess(access))
    throw usageError(`--device: ${JSON.stringify(text)} is not a device`, hint)
  return { source, target: path.posix.normalize(target), access }
}

/** `name=soft:hard`, or one number for both; -1: no limit. */
export function parseUlimit(text: string): [name: string, limit: { soft: number; hard: number }] {
  const hint = 'Write NAME=SOFT:HARD, as nofile=1024:4096.'
  const match = /^([a-z]+)=(-1|\d+)(?::(-1|\d+))?$/.exec(text)
  if (!match) throw usageError(`--ulimit: ${JSON.stringify(text)} is not a limit`, hint)
  const [, name = '', softText = '', hardText = softText] = match
  const [soft, hard] = [Number(softText), Number(hardText)]
  resourceName(name)
  if (hard !== -1 && (soft === -1 || soft > hard))
    throw usageError(`--ulimit: the soft limit of ${text} is above the hard one`, hint)
  return [name, { soft, hard }]
}

/** A domain that names are looked for in; `.`: none. */
export function parseDnsSearch(text: string): string {
  const domain = text.trim()
  const label = '[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?'
  const good = new RegExp(`^${label}(\\.${label})*\\.?$`).test(domain) && /[a-zA-Z]/.test(domain)
  if (domain !== '.' && !(good && domain.length < 255))
    throw usageError(`--dns-search: ${JSON.stringify(text)} is not a domain`, 'Write --dns-search example.org.')
  return domain
}

/** `key=value`. */
export function parsePair(text: string, flag: string): [key: string, value: string] {
  const equals = text.indexOf('=')
  if (equals < 1) throw usageError(`${flag}: ${JSON.stringify(text)} is not a pair`, `Write ${flag} NAME=VALUE.`)
  return [text.slice(0, equals), text.slice(equals + 1)]
}

/** `/dev/sda:1mb`: a device and a rate; `whole`: of operations, which have no unit. */
export function parseRate(text: string, flag: string, whole: boolean): { path: string; rate: string } {
  const hint = `Write ${flag} /dev/NAME:${whole ? '1000' : '1mb'}.`
  const match = /^(\/dev\/[^:]+):([^:]+)$/.exec(text)
  if (!match) throw usageError(`${flag}: ${JSON.stringify(text)} is not a device and a rate`, hint)
  const [, device = '', rate = ''] = match
  if (!(whole ? /^\d+$/ : /^\d+(\.\d+)?\s?[kmgtp]?i?b?$/i).test(rate))
    throw usageError(`${flag}: ${JSON.stringify(rate)} is not a rate`, hint)
  return { path: device, rate }
}

/** `/dev/sda:500`: a device and its share of block IO; 0: the usual one. */
export function parseWeight(text: string): { path: string; weight: number } {
  const hint = 'Write --blkio-weight-device /dev/NAME:WEIGHT, with a weight from 10 to 1000.'
  const match = /^(\/dev\/[^:]+):(\d+)$/.exec(text)
  if (!match) throw usageError(`--blkio-weight-device: ${JSON.stringify(text)} is not a device and a weight`, hint)
  const weight = Number(match[2])
  if (weight !== 0 && (weight < 10 || weight > 1000))
    throw usageError(`--blkio-weight-device: ${weight} is out of range`, hint)
  return { path: match[1] as string, weight }
}

export function parseNumber(text: string, flag: string, whole: boolean): number {
  const form = whole ? /^-?\d+$/ : /^\d*\.?\d+$/
  if (form.test(text)) return Number(text)
  throw usageError(`${flag}: ${JSON.stringify(text)} is not a number`, `Write ${flag} ${whole ? '2' : '1.5'}.`)
}

/** The number that a flag has; undefined: it is not given. */
export function numberOf(flags: Flags, name: string, whole: boolean): number | undefined {
  const given = flags.text(name)
  return given === undefined ? undefined : parseNumber(given, `--${name}`, whole)
}

/** Without keys that have no value; nothing when none is left. */
export function defined<T extends object>(object: T): T | undefined {
  const entries = Object.entries(object).filter(([, value]) => value !== undefined)
  return entries.length > 0 ? (Object.fromEntries(entries) as T) : undefined
}
