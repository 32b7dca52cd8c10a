/** --mount, --volume and --tmpfs, read by docker's rules (docker/cli opts/mount.go). */
import path from 'node:path'
import type { Mount } from '../index.js'
import { parseSize } from '../util/units.js'
import { usageError } from './usage.js'

/** The fields of a --mount, before it is decided whether we have such mounts. */
export interface MountFields {
  type: string
  source?: string
  target?: string
  readOnly?: boolean
  propagation?: string
  size?: string
  mode?: string
  volume: { labels: Record<string, string>; options: Record<string, string>; driver?: string; noCopy?: boolean }
}

const HINT = 'Write type=bind,source=/host/path,target=/path[,readonly], or type=tmpfs,target=/path[,tmpfs-size=64m].'

function wrong(message: string): Error {
  return usageError(`--mount: ${message}`, HINT)
}

/** Fields between commas; one in double quotes may hold commas, and quotes twice. */
export function splitFields(text: string, wrong: (message: string) => Error): string[] {
  const fields = [...text.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^",]*))(?=,|$)/g)]
  if (fields.reduce((sum, match) => sum + match[0].length, 0) !== text.length) throw wrong(`the quotes of ${text}`)
  return fields.map(([, quoted, plain]) => quoted?.replaceAll('""', '"') ?? plain ?? '')
}

type Setter = (fields: MountFields, value: string) => void

const KEYS: Record<string, Setter> = {
  type: (fields, value) => {
    fields.type = value.toLowerCase()
  },
  source: (fields, value) => {
    fields.source = /^\.\.?(\/|$)/.test(value) ? path.resolve(value) : value
  },
  target: (fields, value) => {
    fields.target = value
  },
  readonly: (fields, value) => {
    if (!['1', '0', 'true', 'false'].includes(value)) throw wrong(`readonly: ${value} is neither true nor false`)
    fields.readOnly = value === '1' || value === 'true'
  },
  'bind-propagation': (fields, value) => {
    fields.propagation = value.toLowerCase()
  },
  'volume-label': ({ volume }, value) => setPair(volume.labels, value),
  'volume-opt': ({ volume }, value) => setPair(volume.options, value),
  'volume-driver': ({ volume }, value) => {
    volume.driver = value
  },
  'volume-nocopy': ({ volume }, value) => {
    if (!['1', '0', 'true', 'false'].includes(value)) throw wrong(`volume-nocopy: ${value} is neither true nor false`)
    volume.noCopy = value === '1' || value === 'true'
  },
  'tmpfs-size': (fields, value) => {
    parseSize(value, '--mount: tmpfs-size')
    fields.size = value
  },
  'tmpfs-mode': (fields, value) => {
    if (!/^[0-7]{1,5}$/.test(value)) throw wrong(`tmpfs-mode: ${value} is not an octal number`)
    fields.mode = value
  },
}

const ALIASES: Record<string, string> = { src: 'source', destination: 'target', dst: 'target', ro: 'readonly' }
/** These may stand alone, and are true then. */
const ALONE = new Set(['readonly', 'volume-nocopy'])

/** Later ones win; one without a key does nothing. */
function setPair(pairs: Record<string, string>, text: string): void {
  const [key = '', ...value] = text.split('=')
  if (key !== '') pairs[key] = value.join('=')
}

export function parseMountFields(text: string): MountFields {
  if (text.trim() === '') throw wrong('nothing is given')
  const fields: MountFields = { type: 'volume', volume: { labels: {}, options: {} } }
  const used: string[] = []
  for (const field of splitFields(text, wrong)) {
    const equals = field.indexOf('=')
    const given = equals < 0 ? field : field.slice(0, equals)
    if (given !== given.trim()) throw wrong(`a space beside ${given.trim()}`)
    const key = ALIASES[given.toLowerCase()] ?? given.toLowerCase()
    if (equals < 0 && !ALONE.has(key)) throw wrong(`${field} has no value`)
    const value = equals < 0 ? 'true' : field.slice(equals + 1)
    const set = KEYS[key]
    if (!set) throw wrong(`there is no option ${given}`)
    if (value === '') throw wrong(`${given} is empty`)
    if (value !== value.trim()) throw wrong(`a space beside the value of ${given}`)
    set(fields, value)
    used.push(key)
  }
  if (fields.target === undefined) throw wrong('there is no target')
  for (const kind of ['bind', 'volume', 'tmpfs'])
    if (fields.type !== kind && used.some((key) => key.startsWith(`${kind}-`)))
      throw wrong(`options of ${kind} with the type ${fields.type}`)
  return fields
}

/** What of it caisson can do. */
export function parseMount(text: string): Mount {
  const { type, source, target = '', readOnly, propagation, size, mode, volume } = parseMountFields(text)
  if (volume.driver !== undefined && volume.driver !== 'local') throw wrong(`there is no driver ${volume.driver}`)
  if (volume.noCopy || Object.keys(volume.options).length > 0 || Object.keys(volume.labels).length > 0)
    throw wrong('volumes have no such options here')
  if (type !== 'bind' && type !== 'tmpfs' && type !== 'overlay' && type !== 'volume')
    throw wrong(`there is no type ${type}`)
  return {
    type,
    target,
    ...(source === undefined ? {} : { source }),
    ...(readOnly === undefined ? {} : { readOnly }),
    ...(propagation === undefined ? {} : { propagation: propagation as Mount['propagation'] }),
    ...(size === undefined ? {} : { size }),
    ...(mode === undefined ? {} : { mode: Number.parseInt(mode, 8) }),
  }
}

/** Options of --volume that ask for nothing that we would do otherwise. */
const IGNORED = new Set(['rw', 'z', 'Z', 'cached', 'delegated', 'consistent', 'rprivate', 'rbind'])
const PROPAGATION = new Set(['private', 'slave', 'shared', 'rslave', 'rshared'])

/** `/host/path:/path[:ro]`, `name:/path`, or `/path` for a volume without a name; a host path may begin with `./`. */
export function parseVolume(text: string): Mount {
  const hint = 'Write /host/path:/path or name:/path, or with :ro.'
  const parts = text.split(':')
  const [given = '', target = '', options = ''] = parts
  if (parts.length > 3 || parts.some((part) => part === '') || parts.length < 2) {
    if (parts.length === 1 && given.startsWith('/')) return { type: 'volume', target: given }
    throw usageError(`--volume: ${JSON.stringify(text)} is not a mount`, hint)
  }
  const relative = /^\.\.?(\/|$)/.test(given)
  const named = !given.startsWith('/') && !relative
  const mount: Mount = named
    ? { type: 'volume', source: given, target }
    : { type: 'bind', source: relative ? path.resolve(given) : given, target }
  for (const option of options.split(',')) {
    if (option === 'ro') mount.readOnly = true
    else if (PROPAGATION.has(option)) mount.propagation = option as Mount['propagation']
    else if (option !== '' && !IGNORED.has(option))
      throw usageError(`--volume: there is no option ${JSON.stringify(option)}`, hint)
  }
  return mount
}

/** What a tmpfs is anyway. */
const TMPFS_ALWAYS = new Set(['', 'rw', 'noexec', 'nosuid', 'nodev'])

/** `/path[:size=64m,mode=0700,uid=1000,gid=1000,ro,exec]`. */
export function parseTmpfs(text: string): Mount {
  const [target = '', ...more] = text.split(':')
  const mount: Mount = { type: 'tmpfs', target }
  for (const option of more.join(':').split(',')) {
    const [, name, value = ''] = /^(mode|uid|gid)=([0-9]+)$/.exec(option) ?? []
    if (option.startsWith('size=')) mount.size = option.slice(5)
    else if (name === 'mode' && /^[0-7]+$/.test(value)) mount.mode = Number.parseInt(value, 8)
    else if (name === 'uid' || name === 'gid') mount[name] = Number(value)
    else if (option === 'ro') mount.readOnly = true
    else if (option === 'exec') mount.exec = true
    else if (!TMPFS_ALWAYS.has(option))
      throw usageError(
        `--tmpfs: ${JSON.stringify(option)} cannot be set`,
        'Write /path:size=64m,mode=0700,uid=1000,gid=1000,ro,exec.',
      )
  }
  return mount
}
