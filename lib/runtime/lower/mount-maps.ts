/**
 * Id-mapped binds (mount_setattr(2), MOUNT_ATTR_IDMAP): files show other owners than they have on disk. The kernel takes
 * the map from a user namespace, which is made for it and has nobody in it.
 */
import { addon } from '../../native/addon.js'
import type { ContainerOptions } from '../../options.js'
import type { SpecMount } from '../../spec/runtime.js'
import { insidePath } from '../../util/paths.js'
import { createNamespace, type NamespaceHandle } from '../process/namespaces.js'
import { checkIdMap, type IdMapPair } from '../user/id-maps.js'

export interface MountMaps {
  /** By where the mount is in the container. */
  handles: ReadonlyMap<string, NamespaceHandle>
  close(): void
}

const NO_MOUNT_MAPS: MountMaps = { handles: new Map(), close: () => undefined }

/** Of a container's options: from the ids on disk (`containerID`) to those that are shown (`hostID`). */
export function mapsOfOptions({ mounts = [] }: Pick<ContainerOptions, 'mounts'>): Map<string, IdMapPair> {
  const maps = new Map<string, IdMapPair>()
  for (const [index, { type, target, idmap }] of mounts.entries()) {
    if (idmap === undefined || idmap === true || type !== 'bind') continue
    const option = `mounts[${index}].idmap`
    maps.set(insidePath(target, `mounts[${index}].target`), {
      uidMap: checkIdMap(idmap.uidMap, `${option}.uidMap`),
      gidMap: checkIdMap(idmap.gidMap, `${option}.gidMap`),
    })
  }
  return maps
}

/** Of an OCI configuration (runtime-spec config.md, "Mounts"). */
export function mapsOfSpec(mounts: readonly SpecMount[] = []): Map<string, IdMapPair> {
  const maps = new Map<string, IdMapPair>()
  for (const { destination, uidMappings, gidMappings } of mounts) {
    // With `idmap` alone they are the container's own, which are there anyway.
    if (uidMappings === undefined && gidMappings === undefined) continue
    maps.set(destination, {
      uidMap: checkIdMap(uidMappings, `mounts ${destination}: uidMappings`),
      gidMap: checkIdMap(gidMappings, `mounts ${destination}: gidMappings`),
    })
  }
  return maps
}

/** `close()` must be called, whatever comes after. */
export async function openMountMaps(maps: ReadonlyMap<string, IdMapPair>): Promise<MountMaps> {
  if (maps.size === 0) return NO_MOUNT_MAPS
  const handles = new Map<string, NamespaceHandle>()
  const close = () => {
    for (const { fd } of handles.values()) addon().closeFd(fd)
    handles.clear()
  }
  try {
    for (const [at, idMaps] of maps) handles.set(at, await createNamespace('user', { idMaps }))
    return { handles, close }
  } catch (error) {
    close()
    throw error
  }
}
