/** The mounts of a container that is to be made: Volumes, Binds, Mounts and Tmpfs. */
import type { Mount } from '../options.js'
import type { Fields } from '../spec/fields.js'
import { parseBind } from './bind.js'
import { fieldsOf } from './body.js'
import { badRequest, notImplemented } from './failure.js'

/** Of two for the same place the later one counts: what is asked for in one word is the least. */
export function mountsOf(config: Fields, host: Fields): Mount[] {
  const all: Mount[] = [
    ...Object.keys(config.set('Volumes') ?? {}).map((target): Mount => ({ type: 'volume', target })),
    ...(host.texts('Binds') ?? []).map(parseBind),
    ...(host.objects('Mounts') ?? []).map((each, i) => mountOf(fieldsOf(each, `HostConfig.Mounts[${i}].`))),
    ...Object.entries(host.map('Tmpfs') ?? {}).map(([target, options]) => tmpfsOf(target, options)),
  ]
  const byTarget = new Map(all.map((mount) => [mount.target, mount]))
  return [...byTarget.values()]
}

function mountOf(fields: Fields): Mount {
  const type = fields.requiredText('Type')
  if (type !== 'bind' && type !== 'volume' && type !== 'tmpfs') throw notImplemented(`a mount of type ${type}`)
  const source = fields.text('Source') || undefined
  const mount: Mount = {
    type,
    target: fields.requiredText('Target'),
    ...(source === undefined ? {} : { source }),
    ...(fields.boolean('ReadOnly') ? { readOnly: true } : {}),
  }
  const bind = fields.object('BindOptions')
  const propagation = bind && fieldsOf(bind, 'BindOptions.').text('Propagation')
  if (propagation) mount.propagation = propagation as Mount['propagation']
  const tmpfs = fields.object('TmpfsOptions')
  if (tmpfs) {
    const options = fieldsOf(tmpfs, 'TmpfsOptions.')
    const [size, mode] = [options.count('SizeBytes'), options.count('Mode')]
    if (options.list('Options')?.length) throw notImplemented('TmpfsOptions.Options')
    if (size) mount.size = size
    if (mode) mount.mode = mode
  }
  const volume = fields.object('VolumeOptions')
  if (volume) checkVolume(fieldsOf(volume, 'VolumeOptions.'))
  return mount
}

function checkVolume(options: Fields): void {
  const driver = fieldsOf(options.object('DriverConfig'), 'DriverConfig.')
  const name = driver.text('Name')
  if (name && name !== 'local') throw badRequest(`there is no volume driver ${name}`)
  if (Object.keys(driver.map('Options') ?? {}).length > 0) throw notImplemented('DriverConfig.Options')
  if (options.boolean('NoCopy')) throw notImplemented('VolumeOptions.NoCopy')
  if (options.text('Subpath')) throw notImplemented('VolumeOptions.Subpath')
}

/** Docker's options that a tmpfs of ours has anyway. */
const TAKEN = new Set(['', 'rw', 'noexec', 'nosuid', 'nodev'])

function tmpfsOf(target: string, options: string): Mount {
  const mount: Mount = { type: 'tmpfs', target }
  for (const option of options.split(',')) {
    const [, name, value = ''] = /^(size|mode|uid|gid)=(\w+)$/.exec(option) ?? []
    if (name === 'size') mount.size = value
    else if (name === 'mode') mount.mode = value
    else if (name !== undefined) mount[name as 'uid' | 'gid'] = Number(value)
    else if (option === 'ro') mount.readOnly = true
    else if (option === 'exec') mount.exec = true
    else if (!TAKEN.has(option)) throw badRequest(`HostConfig.Tmpfs: there is no option ${option}`)
  }
  return mount
}
