/** The Linux part of a configuration: namespaces, devices, hidden paths, sysctls. */
import { readdirSync, statSync } from 'node:fs'
import { CaissonError, invalidArgument } from '../../errors.js'
import type { ContainerOptions } from '../../options.js'
import { DEVICE_RULES, MASKED_PATHS, NETWORK_SYSCTLS, READONLY_PATHS } from '../../spec/defaults.js'
import type { SpecLinux } from '../../spec/runtime.js'
import { insidePath } from '../../util/paths.js'
import type { Isolation } from '../isolation/isolation.js'
import type { ChosenNamespaces } from './choose-namespaces.js'
import { deviceSpec, hostDevices } from './devices.js'
import { NAMESPACES, type NamespaceType } from './workload.js'

export function linuxSpec(
  options: ContainerOptions,
  chosen: ChosenNamespaces,
  { proc }: Pick<Isolation, 'proc'>,
): SpecLinux {
  const { security = {} } = options
  const devices = (options.devices ?? []).map((device) => deviceSpec(device))
  const { idMaps, privateUser } = chosen
  const asked = new Set(devices.map(({ spec }) => spec.path))
  // In a user namespace they would be nobody's.
  const others = security.privileged && !idMaps ? hostDevices().filter(({ path }) => !asked.has(path)) : []
  const types: NamespaceType[] = [...chosen.own, ...(privateUser ? ['user' as const] : [])]
  return {
    namespaces: types.map((type) => ({ type: NAMESPACES[type].spec as never })),
    ...(idMaps && privateUser ? { uidMappings: [...idMaps.uidMap], gidMappings: [...idMaps.gidMap] } : {}),
    devices: [...devices.map((device) => device.spec), ...others],
    resources: {
      devices: security.privileged
        ? [{ allow: true, access: 'rwm' }]
        : [...DEVICE_RULES, ...devices.map((device) => device.rule)],
    },
    sysctl: sysctls(options.sysctls, chosen.own, idMaps !== undefined, proc === 'own'),
    ...(security.privileged
      ? { maskedPaths: [], readonlyPaths: [] }
      : {
          maskedPaths: paths(security.maskedPaths, 'security.maskedPaths') ?? [...MASKED_PATHS, ...thermalPaths()],
          readonlyPaths: paths(security.readonlyPaths, 'security.readonlyPaths') ?? [...READONLY_PATHS],
        }),
  }
}

function paths(list: readonly string[] | undefined, option: string): string[] | undefined {
  return list?.map((path) => insidePath(path, option))
}

let thermal: string[] | undefined

/** Counters of single processors tell containers about each other (GHSA-6fw5-f8r9-fgfm); which exist varies. */
function thermalPaths(): string[] {
  if (thermal) return thermal
  const base = '/sys/devices/system/cpu'
  try {
    thermal = readdirSync(base)
      .filter((name) => /^cpu\d+$/.test(name))
      .map((name) => `${base}/${name}/thermal_throttle`)
      .filter((path) => statSync(path, { throwIfNoEntry: false }) !== undefined)
  } catch {
    thermal = []
  }
  return thermal
}

/** Sysctls that belong to a namespace, by prefix; any other would change the host. */
const SYSCTLS: Array<[pattern: RegExp, namespace: NamespaceType]> = [
  [/^net\./, 'net'],
  [/^fs\.mqueue\./, 'ipc'],
  [/^kernel\.(msgmax|msgmnb|msgmni|sem|shmall|shmmax|shmmni|shm_rmid_forced|auto_msgmni)$/, 'ipc'],
  [/^kernel\.(domainname|hostname)$/, 'uts'],
  [/^kernel\.ns_last_pid$/, 'pid'],
]

/** Of which namespace a kernel parameter is; undefined: of the machine. `name` with dots. */
export function sysctlNamespace(name: string): NamespaceType | undefined {
  return SYSCTLS.find(([pattern]) => pattern.test(name))?.[1]
}

function sysctls(
  asked: Record<string, string> | undefined,
  own: ReadonlySet<NamespaceType>,
  userns: boolean,
  writable: boolean,
): Record<string, string> {
  const result: Record<string, string> = {}
  if (own.has('net') && writable)
    // The range of groups cannot be said in a user namespace, where most groups have no id.
    for (const [name, value] of Object.entries(NETWORK_SYSCTLS))
      if (!userns || name !== 'net.ipv4.ping_group_range') result[name] = value
  for (const [given, value] of Object.entries(asked ?? {})) {
    const name = given.replaceAll('/', '.')
    if (!/^[a-z0-9_-]+(\.[A-Za-z0-9_:@-]+)+$/.test(name))
      throw invalidArgument('sysctls', given, 'a name such as net.core.somaxconn')
    if (typeof value !== 'string' && typeof value !== 'number')
      throw invalidArgument(`sysctls.${name}`, value, 'a string')
    const namespace = sysctlNamespace(name)
    if (!namespace || !own.has(namespace))
      throw new CaissonError('ERR_CAISSON_INVALID_ARGUMENT', `sysctls: ${name} is not private to the container`, {
        stage: 'options',
        hint: namespace
          ? `It belongs to the ${namespace} namespace, which this container shares; give it one of its own.`
          : 'It would change the host; set it there.',
      })
    result[name] = String(value)
  }
  return result
}
