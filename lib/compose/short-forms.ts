/** Short forms of ports, mounts and the like, by the rules of docker compose. */
import path from 'node:path'
import { type ComposeNode, composeError, isNull, type Place, unsupported } from './node.js'
import { booleanOf, type Context, eachKey, integerOf, listOf, modeOf, oneOf, shown, sizeOf, textOf } from './read.js'

/** Ports of the host from `first` to `last`: any of these when the container has one; none: any that is free. */
export interface PortModel {
  target: number
  published?: { first: number; last: number }
  address?: string
  protocol: 'tcp' | 'udp'
  place: Place
}

export interface MountModel {
  type: 'bind' | 'volume' | 'tmpfs'
  /** bind: an absolute path. volume: a name of the file; none: a volume of its own. */
  source?: string
  target: string
  readOnly?: boolean
  size?: number
  /** tmpfs: of its topmost directory. */
  mode?: number
  uid?: number
  gid?: number
  exec?: boolean
  propagation?: string
  /** bind: a directory is made when nothing is there. */
  create?: boolean
  place: Place
}

/** A secret or configuration, as a service has it. */
export interface FileModel {
  source: string
  target?: string
  uid?: number
  gid?: number
  mode?: number
  place: Place
}

const PORT_HINT = 'Write "8080:80", "127.0.0.1:8080:80", "8000-8010:8000-8010/udp", or "80" for a free port.'

/** Many times what there are: a range of some letters stands for all of them, as often as it is written. */
export const MOST_PORTS = 16 * 65_536

export function portsOf(node: ComposeNode, context: Context): PortModel[] {
  return listOf(node).items.flatMap((item) => {
    const ports = item.kind === 'map' ? [longPort(item, context)] : shortPorts(item, context)
    context.ports.left -= ports.length
    if (context.ports.left >= 0) return ports
    throw composeError(item.place, 'too many ports are named', `At most ${MOST_PORTS} are read.`)
  })
}

function shortPorts(node: ComposeNode, context: Context): PortModel[] {
  const { place } = node
  const text = textOf(node, context)
  const [, plain = '', protocol = 'tcp'] = /^([^/]+)(?:\/([a-z]+))?$/.exec(text) ?? []
  const [, bracketed, rest = plain] = /^\[([^\]]+)\]:(.*)$/.exec(plain) ?? []
  const parts = rest.split(':')
  const target = rangeOf(parts.pop())
  const host = parts.pop()
  const address = bracketed ?? (parts.length > 0 ? parts.join(':') : undefined)
  const published = host === undefined || host === '' ? undefined : rangeOf(host)
  if (!target || (host && !published) || (protocol !== 'tcp' && protocol !== 'udp'))
    throw composeError(place, `${shown(node)} is no port`, PORT_HINT)
  const count = target.last - target.first + 1
  if (count === 1) return [{ target: target.first, published, address: address || undefined, protocol, place }]
  if (published && published.last - published.first + 1 !== count)
    throw composeError(place, `the ranges of ${shown(node)} differ in length`, PORT_HINT)
  return Array.from({ length: count }, (_, i): PortModel => {
    const port = published && { first: published.first + i, last: published.first + i }
    return { target: target.first + i, published: port, address: address || undefined, protocol, place }
  })
}

function rangeOf(text: string | undefined): { first: number; last: number } | undefined {
  const [, first, last = first] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text ?? '') ?? []
  const range = { first: Number(first), last: Number(last) }
  return range.first >= 1 && range.last >= range.first && range.last <= 65535 ? range : undefined
}

function longPort(node: ComposeNode, context: Context): PortModel {
  const port: Partial<PortModel> = {}
  eachKey(
    node,
    ['target', 'published', 'host_ip', 'protocol', 'mode', 'name', 'app_protocol'],
    {},
    (key, { value }) => {
      if (key === 'target') port.target = integerOf(value, context, 1)
      else if (key === 'host_ip') port.address = textOf(value, context) || undefined
      else if (key === 'protocol') port.protocol = oneOf(value, context, ['tcp', 'udp'])
      else if (key === 'mode') oneOf(value, context, ['host', 'ingress'])
      else if (key === 'published' && !isNull(value)) {
        port.published = rangeOf(textOf(value, context))
        if (!port.published) throw composeError(value.place, `${shown(value)} is no port`, PORT_HINT)
      }
    },
  )
  const { target, protocol = 'tcp', published, address } = port
  if (target === undefined || target > 65535)
    throw composeError(node.place, 'the port of the container is missing', 'Write target: 80.')
  return { target, protocol, published, address, place: node.place }
}

const MOUNT_HINT = 'Write ./path:/path, name:/path or /path, or with :ro.'
/** Asked for by options of others, and nothing that we would do otherwise. */
const IDLE = new Set(['rw', 'z', 'Z', 'cached', 'delegated', 'consistent', 'rprivate', 'rbind'])
const PROPAGATION = ['private', 'slave', 'shared', 'rprivate', 'rslave', 'rshared'] as const

export function mountsOf(node: ComposeNode, context: Context): MountModel[] {
  return listOf(node).items.map((item) => (item.kind === 'map' ? longMount(item, context) : shortMount(item, context)))
}

/** A path of the host as the file has it: relative to its directory, or to the user's. */
export function hostPath(text: string, { directory, home }: Context): string {
  if (text === '~' || text.startsWith('~/')) return path.join(home, text.slice(1))
  return path.resolve(directory, text)
}

function shortMount(node: ComposeNode, context: Context): MountModel {
  const { place } = node
  const parts = textOf(node, context).split(':')
  const [first = '', second, options = ''] = parts
  if (parts.length > 3 || parts.some((part) => part === ''))
    throw composeError(place, `${shown(node)} is no mount`, MOUNT_HINT)
  if (second === undefined) return { type: 'volume', target: absolute(first, place), place }
  const target = absolute(second, place)
  const isPath = /^[./~]/.test(first)
  const mount: MountModel = isPath
    ? { type: 'bind', source: hostPath(first, context), target, create: true, place }
    : { type: 'volume', source: first, target, place }
  for (const option of options.split(',')) {
    if (option === 'ro') mount.readOnly = true
    else if ((PROPAGATION as readonly string[]).includes(option)) mount.propagation = option
    else if (option === 'nocopy')
      throw unsupported(place, 'volumes are always filled from the image', 'Leave nocopy out.')
    else if (option !== '' && !IDLE.has(option))
      throw composeError(place, `there is no option ${JSON.stringify(option)} of mounts`, MOUNT_HINT)
  }
  return mount
}

function absolute(text: string, place: Place): string {
  if (text.startsWith('/')) return text
  throw composeError(place, `${JSON.stringify(text)} is no absolute path`, 'In the container a path begins with /.')
}

function longMount(node: ComposeNode, context: Context): MountModel {
  const mount: Partial<MountModel> = {}
  let source: string | undefined
  let create = true
  const known = ['type', 'source', 'target', 'read_only', 'bind', 'volume', 'tmpfs', 'consistency']
  eachKey(node, known, {}, (key, { value }) => {
    if (key === 'type') mount.type = oneOf(value, context, ['bind', 'volume', 'tmpfs'])
    else if (key === 'source') source = textOf(value, context)
    else if (key === 'target') mount.target = absolute(textOf(value, context), value.place)
    else if (key === 'read_only') mount.readOnly = booleanOf(value, context)
    else if (key === 'bind')
      eachKey(value, ['propagation', 'create_host_path', 'selinux'], {}, (name, { value: each }) => {
        if (name === 'propagation') mount.propagation = oneOf(each, context, PROPAGATION)
        else if (name === 'create_host_path') create = booleanOf(each, context)
      })
    else if (key === 'volume')
      eachKey(
        value,
        ['nocopy'],
        { subpath: 'Mount the whole volume.', labels: 'Label the volume itself.' },
        (_, { value: each }) => {
          if (booleanOf(each, context))
            throw unsupported(each.place, 'volumes are always filled from the image', 'Leave nocopy out.')
        },
      )
    else if (key === 'tmpfs')
      eachKey(value, ['size', 'mode'], {}, (name, { value: each }) => {
        if (name === 'size') mount.size = sizeOf(each, context)
        else mount.mode = modeOf(each, context)
      })
  })
  const { type, target } = mount
  if (type === undefined || target === undefined)
    throw composeError(
      node.place,
      'a mount needs a type and a target',
      'Write type: volume, source: NAME, target: /PATH.',
    )
  if (type === 'bind' && source === undefined)
    throw composeError(node.place, 'a bind needs a source', 'Write source: ./PATH.')
  if (type === 'bind') source = hostPath(source as string, context)
  return { ...mount, type, target, source, ...(type === 'bind' ? { create } : {}), place: node.place }
}

export function tmpfsOf(text: string, place: Place): MountModel {
  const [target = '', ...more] = text.split(':')
  const mount: MountModel = { type: 'tmpfs', target: absolute(target, place), place }
  for (const option of more.join(':').split(',')) {
    const [, size] = /^size=(\d+[kmg]?)$/i.exec(option) ?? []
    const [, mode] = /^mode=0?([0-7]{1,4})$/.exec(option) ?? []
    const [, id, number] = /^(uid|gid)=(\d+)$/.exec(option) ?? []
    if (size !== undefined)
      mount.size = Number.parseInt(size, 10) * 1024 ** ' kmg'.indexOf((/[a-z]/i.exec(size)?.[0] ?? ' ').toLowerCase())
    else if (mode !== undefined) mount.mode = Number.parseInt(mode, 8)
    else if (id === 'uid' || id === 'gid') mount[id] = Number(number)
    else if (option === 'ro') mount.readOnly = true
    else if (option === 'exec') mount.exec = true
    else if (!['', 'rw', 'noexec', 'nosuid', 'nodev'].includes(option))
      throw unsupported(
        place,
        `the option ${JSON.stringify(option)} of a tmpfs cannot be set`,
        'Write /path:size=64m,mode=0700,uid=1000,gid=1000,ro,exec.',
      )
  }
  return mount
}

export function filesOf(node: ComposeNode, context: Context): FileModel[] {
  return listOf(node).items.map((item) => {
    const { place } = item
    if (item.kind !== 'map') return { source: textOf(item, context), place }
    const file: Partial<FileModel> = {}
    eachKey(item, ['source', 'target', 'uid', 'gid', 'mode'], {}, (key, { value }) => {
      if (key === 'source' || key === 'target') file[key] = textOf(value, context)
      else if (key === 'mode') file.mode = modeOf(value, context)
      else if (key === 'uid' || key === 'gid') file[key] = integerOf(value, context)
    })
    if (file.source === undefined) throw composeError(place, 'the source is missing', 'Write source: NAME.')
    return { ...file, source: file.source, place }
  })
}
