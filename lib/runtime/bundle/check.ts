/** What a configuration asks for, taken together: what runc refuses is refused, as it would reach the host or come to nothing. */
import { CaissonError } from '../../errors.js'
import type { RuntimeSpec } from '../../spec/runtime.js'
import type { ChosenNamespaces } from '../options/choose-namespaces.js'
import { sysctlNamespace } from '../options/linux.js'
import { parseMountOptions } from '../options/mount-options.js'

/** Of a whole file system: a bind leaves them as they are. */
const OF_FILE_SYSTEMS = new Set([
  'remount',
  'sync',
  'dirsync',
  'mand',
  'iversion',
  'noiversion',
  'lazytime',
  'nolazytime',
])

export function checkBundle({ linux, mounts = [] }: RuntimeSpec): void {
  const find = (type: string) => linux?.namespaces?.find((namespace) => namespace.type === type)
  const own = find('mount')
  // Its root takes the place of the one that is there: in a shared namespace, everybody's.
  if (!own || own.path)
    throw bundleError(
      'linux.namespaces: the container has no mount namespace of its own',
      'Give { "type": "mount" } without a path; its root is mounted there.',
    )
  const maps = (linux?.uidMappings?.length ?? 0) + (linux?.gidMappings?.length ?? 0)
  if (maps > 0 && !find('user'))
    throw bundleError(
      'linux.uidMappings, gidMappings: there is no user namespace for them',
      'Give { "type": "user" } among linux.namespaces, or leave the mappings out.',
    )
  for (const [i, { type, options }] of mounts.entries()) {
    const { bind, data } = parseMountOptions(options)
    const unknown = data.find(([key]) => !OF_FILE_SYSTEMS.has(key))
    if ((bind || type === 'bind') && unknown)
      throw bundleError(
        `mounts[${i}].options: a bind has no ${JSON.stringify(unknown[0].slice(0, 100))}, it would come to nothing`,
        'Correct it, or leave it out.',
      )
  }
}

/** Kernel parameters of the machine are nothing that a container may change. */
export function checkSysctls({ linux }: RuntimeSpec, { own, join }: Pick<ChosenNamespaces, 'own' | 'join'>): void {
  for (const given of Object.keys(linux?.sysctl ?? {})) {
    const namespace = sysctlNamespace(given.replaceAll('/', '.'))
    if (!namespace || !(own.has(namespace) || join.some(({ type }) => type === namespace)))
      throw bundleError(
        `linux.sysctl: ${given} is not private to the container`,
        namespace ? `Give it a ${namespace} namespace of its own.` : 'It would change the host; set it there.',
      )
  }
}

export function bundleError(message: string, hint: string): CaissonError {
  return new CaissonError('ERR_CAISSON_BUNDLE', message, { stage: 'bundle', hint })
}
