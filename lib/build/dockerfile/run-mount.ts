/** RUN --mount: its fields, and what they mean together. */

import { didYouMean, nearest } from '../../util/suggest.js'
import { parseSize } from '../../util/units.js'
import { parseGoBoolean, parseUnsigned } from './go-values.js'
import { fault } from './source.js'
import { quote } from './text.js'

const TYPES = ['bind', 'cache', 'tmpfs', 'secret', 'ssh'] as const
const SHARINGS = ['shared', 'private', 'locked'] as const
const KEYS =
  'type from source target readonly id sharing required size mode uid gid src dst destination ro rw readwrite env'.split(
    ' ',
  )

export interface MountFields {
  type: (typeof TYPES)[number]
  from: string
  source: string
  target: string
  readOnly: boolean
  /** Bytes. */
  size: number
  id: string
  sharing?: (typeof SHARINGS)[number]
  required: boolean
  env?: string
  mode?: number
  uid?: number
  gid?: number
}

/**
 * @param expand fills variables in, in each value by itself.
 * @throws CaissonError ERR_CAISSON_DOCKERFILE
 */
export function parseMount(text: string, expand: (value: string) => string): MountFields {
  const mount: MountFields = {
    type: 'bind',
    from: '',
    source: '',
    target: '',
    readOnly: true,
    size: 0,
    id: '',
    required: false,
  }
  let readOnly: boolean | undefined
  for (const field of splitFields(text)) {
    const equals = field.indexOf('=')
    const key = (equals < 0 ? field : field.slice(0, equals)).toLowerCase()
    const value = equals < 0 ? undefined : expand(field.slice(equals + 1))
    if (key === 'readonly' || key === 'ro') readOnly = value === undefined || boolean(key, value)
    else if (key === 'readwrite' || key === 'rw') readOnly = !(value === undefined || boolean(key, value))
    else if (key === 'required') mount.required = onlyFor(mount, key, 'secret', 'ssh') && boolean(key, value ?? 'true')
    else if (value === undefined)
      throw fault(
        `invalid field '${field}' must be a key=value pair`,
        `Write ${field}=VALUE.${didYouMean(nearest(key, KEYS))}`,
      )
    else setField(mount, key, value, field)
  }
  mount.readOnly = readOnly ?? (mount.type !== 'cache' && mount.type !== 'tmpfs')
  check(mount)
  return mount
}

function setField(mount: MountFields, key: string, value: string, field: string): void {
  switch (key) {
    case 'type':
      mount.type = oneOf(TYPES, value, 'unsupported mount type')
      break
    case 'from':
    case 'id':
    case 'env':
      mount[key] = value
      break
    case 'source':
    case 'src':
      mount.source = value
      break
    case 'target':
    case 'dst':
    case 'destination':
      mount.target = value
      break
    case 'sharing':
      mount.sharing = oneOf(SHARINGS, value, 'unsupported sharing value')
      break
    case 'size':
      onlyFor(mount, key, 'tmpfs')
      mount.size = size(value)
      break
    case 'mode':
    case 'uid':
    case 'gid': {
      const number = parseUnsigned(value, key === 'mode' ? 8 : 10)
      if (number === undefined)
        throw fault(`invalid value ${value} for ${key}`, `Give ${key}=${key === 'mode' ? '0755' : '1000'}.`)
      mount[key] = number
      break
    }
    default: {
      const meant = nearest(key, KEYS)
      throw fault(`unexpected key '${key}' in '${field}'${didYouMean(meant)}`, `There are ${KEYS.join(', ')}.`)
    }
  }
}

function check(mount: MountFields): void {
  const { type, from, source, target, id, sharing } = mount
  if (type === 'bind' || type === 'tmpfs')
    for (const key of ['mode', 'uid', 'gid'] as const)
      if (mount[key] !== undefined)
        throw fault(`${key} not allowed for ${quote(type)} type mounts`, `Leave out ${key}.`)
  if (type === 'secret') {
    if (from !== '') throw fault('secret mount should not have a from', 'Leave out from.')
    if (sharing) throw fault('secret mount should not define sharing', 'Leave out sharing.')
    if (source === '' && target === '' && id === '')
      throw fault('invalid secret mount. one of source, target required', 'Write type=secret,id=NAME.')
    if (source !== '' && id !== '') throw fault("both source and id can't be set", 'Give one of them.')
  }
  if (type === 'ssh' && source !== '') throw fault('ssh does not support source', 'Write type=ssh,id=NAME.')
  if (sharing && type !== 'cache') throw fault(`invalid cache sharing set for ${type} mount`, 'Leave out sharing.')
}

function onlyFor(mount: MountFields, key: string, ...types: string[]): true {
  if (!types.includes(mount.type))
    throw fault(
      `unexpected key '${key}' for mount type '${mount.type}'`,
      `Write type=${types[0]} before it, or leave it out.`,
    )
  return true
}

function oneOf<T extends string>(values: readonly T[], value: string, message: string): T {
  const found = values.find((each) => each === value.toLowerCase())
  if (found) return found
  throw fault(`${message} ${quote(value)}${didYouMean(nearest(value, values))}`, `There are ${values.join(', ')}.`)
}

function boolean(key: string, value: string): boolean {
  const parsed = parseGoBoolean(value)
  if (parsed === undefined) throw fault(`invalid value for ${key}: ${value}`, 'Give true or false.')
  return parsed
}

function size(value: string): number {
  try {
    return parseSize(value, 'size')
  } catch {
    throw fault(`invalid value for size: ${value}`, 'Give bytes, or a size such as 64m.')
  }
}

/** Fields between commas; one in double quotes may hold commas, and `""` for a quote. */
export function splitFields(text: string): string[] {
  const fields: string[] = []
  let at = 0
  for (;;) {
    let field = ''
    if (text[at] === '"') {
      let end = at + 1
      for (; ; end++) {
        if (end >= text.length) throw fault('failed to parse csv mounts: a quote is not closed', 'Close it.')
        if (text[end] !== '"') field += text[end]
        else if (text[end + 1] === '"') field += text[end++]
        else break
      }
      at = end + 1
      if (at < text.length && text[at] !== ',')
        throw fault('failed to parse csv mounts: a quote ends within a field', 'Quote the whole field.')
    } else {
      const comma = text.indexOf(',', at)
      field = text.slice(at, comma < 0 ? undefined : comma)
      if (field.includes('"'))
        throw fault('failed to parse csv mounts: a quote begins within a field', 'Quote the whole field.')
      at = comma < 0 ? text.length : comma
    }
    fields.push(field)
    if (at >= text.length) return fields
    at++
  }
}
