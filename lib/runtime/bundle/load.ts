/** Reads an OCI runtime bundle: config.json checked, and made into a workload. */
import { statSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { type CgroupPlan, planCgroup } from '../../cgroup/plan.js'
import { type Settings, settingsFromSpec } from '../../cgroup/settings.js'
import { CaissonError } from '../../errors.js'
import { DEVICE_RULES } from '../../spec/defaults.js'
import type { RuntimeSpec } from '../../spec/runtime.js'
import { parseRuntimeSpec } from '../../spec/runtime-parse.js'
import { Hooks } from '../container/hooks.js'
import { mapsOfSpec } from '../lower/mount-maps.js'
import { deviceRules } from '../options/assemble.js'
import { type Choice, type ChosenNamespaces, openNamespaces, withMountMaps } from '../options/choose-namespaces.js'
import { seccompOfSpec } from '../options/seccomp.js'
import { NAMESPACES, type NamespaceType, type Workload } from '../options/workload.js'
import type { Owner } from '../process/owner.js'
import { checkIdMap } from '../user/id-maps.js'
import { bundleError, checkBundle, checkSysctls } from './check.js'

const SIZE_MAX = 16 * 1024 * 1024

export interface LoadedBundle {
  spec: RuntimeSpec
  workload: Workload
  cgroup: CgroupPlan
  settings: Settings
  namespaces: ChosenNamespaces
  hooks: Hooks
}

export async function loadBundle(directory: string, id: string, owner: Owner): Promise<LoadedBundle> {
  const bundle = path.resolve(directory)
  const spec = await readConfig(bundle)
  checkBundle(spec)
  const root = path.resolve(bundle, spec.root?.path ?? '')
  if (!statSync(root, { throwIfNoEntry: false })?.isDirectory())
    throw bundleError(
      `${root} is not a directory`,
      'root.path must be a directory, relative to the bundle or absolute.',
    )
  const settings = settingsFromSpec(spec.linux?.resources)
  const namespaces = await withMountMaps(mapsOfSpec(spec.mounts), () => bundleNamespaces(spec))
  try {
    return {
      spec,
      namespaces,
      settings,
      hooks: new Hooks(spec, id, bundle),
      ...assemble(spec, root, namespaces, settings, id, owner),
    }
  } catch (error) {
    namespaces.close()
    throw error
  }
}

function assemble(
  spec: RuntimeSpec,
  root: string,
  namespaces: ChosenNamespaces,
  settings: Settings,
  id: string,
  owner: Owner,
): Pick<LoadedBundle, 'cgroup' | 'workload'> {
  checkSysctls(spec, namespaces)
  const ownCgroups = (spec.linux?.namespaces ?? []).some((each) => each.type === 'cgroup' && !each.path)
  const userns = namespaces.idMaps !== undefined
  // The default devices are always allowed, as the other runtimes do.
  const rules = deviceRules([...(spec.linux?.resources?.devices ?? []), ...DEVICE_RULES.slice(1)], owner, userns)
  settings.devices = rules.legacy
  const seccomp = seccompOfSpec(spec.linux?.seccomp, spec.process?.capabilities?.bounding ?? [])
  const cgroup = planCgroup(owner.cgroups, id, settings, { kept: true })
  return {
    cgroup,
    workload: {
      spec,
      rootfs: { kind: 'directory', path: root },
      staging: owner.staging,
      user: undefined,
      groups: [],
      files: [],
      etc: {},
      thrownAway: false,
      init: false,
      cgroup: {
        join: cgroup.join,
        legacy: cgroup.shown,
        unified: cgroup.leaf ?? cgroup.unified?.directory,
        shown: ownCgroups && cgroup.leaf ? cgroup.unified?.directory : undefined,
      },
      join: namespaces.join,
      mountMaps: namespaces.mountMaps,
      idMaps: namespaces.idMaps,
      devices: rules.unified,
      filter: seccomp?.filter,
      filterFlags: seccomp?.flags,
      inside: namespaces.inside,
      stockNetwork: false,
    },
  }
}

async function readConfig(bundle: string): Promise<RuntimeSpec> {
  const file = path.join(bundle, 'config.json')
  const size = statSync(file, { throwIfNoEntry: false })?.size
  if (size === undefined) throw bundleError(`${file} does not exist`, 'Give the directory that holds config.json.')
  if (size > SIZE_MAX) throw bundleError(`${file} is larger than 16 MiB`, 'No configuration needs that.')
  let parsed: unknown
  try {
    parsed = JSON.parse(await readFile(file, 'utf8'))
  } catch (error) {
    throw bundleError(`${file}: ${(error as Error).message}`, 'It must be valid JSON.')
  }
  try {
    return parseRuntimeSpec(parsed)
  } catch (error) {
    if (!(error instanceof CaissonError)) throw error
    throw bundleError(`${file}: ${error.message}`, error.hint)
  }
}

/** Namespaces with a path are entered; a user namespace without one gets the maps of the configuration. */
async function bundleNamespaces({ linux }: RuntimeSpec): Promise<ChosenNamespaces> {
  const types = Object.keys(NAMESPACES) as NamespaceType[]
  const choices = new Map<NamespaceType, Choice>()
  for (const namespace of linux?.namespaces ?? []) {
    const type = types.find((each) => NAMESPACES[each].spec === namespace.type)
    if (type) choices.set(type, namespace.path ? { path: namespace.path } : 'private')
  }
  const { uidMappings = [], gidMappings = [] } = linux ?? {}
  try {
    const given = uidMappings.length + gidMappings.length > 0
    const maps = { uidMap: uidMappings, gidMap: gidMappings }
    if (given && choices.get('user') === 'private') {
      checkIdMap(uidMappings, 'linux.uidMappings')
      checkIdMap(gidMappings, 'linux.gidMappings')
    }
    return await openNamespaces(choices, given ? maps : undefined)
  } catch (error) {
    if (!(error instanceof CaissonError)) throw error
    throw bundleError(`namespaces: ${error.message}`, error.hint)
  }
}
