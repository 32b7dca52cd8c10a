/**
 * /etc/hosts and the like of a container that is thrown away: written into its writable layer, which takes three mounts
 * less than to mount them over the image's own.
 */
import { lstatSync } from 'node:fs'
import path from 'node:path'
import { containerId } from '../user/id-maps.js'
import type { Workload } from './workload.js'

/** Of the image's /etc; the writable layer's stands for it. */
export interface EtcDirectory {
  mode: number
  uid: number
  gid: number
}

/** undefined where they must be mounted: the layer is kept or read-only, or /etc is not simply a directory. */
export function plainEtc({ rootfs, spec, thrownAway, inside, idMaps }: Workload): EtcDirectory | undefined {
  if (!thrownAway || rootfs.kind !== 'overlay' || spec.root?.readonly) return undefined
  if (rootfs.trees.some(({ target }) => isEtc(target))) return undefined
  if ((spec.mounts ?? []).some(({ destination }) => isEtc(destination))) return undefined
  for (const layer of rootfs.lower) {
    const status = lstatSync(path.join(layer, 'etc'), { throwIfNoEntry: false })
    if (!status) continue
    if (!status.isDirectory()) return undefined
    const maps = inside ? idMaps : undefined
    // Of somebody who does not exist inside, nothing could be made in it.
    const uid = maps ? (containerId(maps.uidMap, status.uid) ?? 0) : status.uid
    const gid = maps ? (containerId(maps.gidMap, status.gid) ?? 0) : status.gid
    return { mode: status.mode & 0o7777, uid, gid }
  }
  return undefined
}

function isEtc(target: string): boolean {
  return target === '/etc' || target.startsWith('/etc/')
}
