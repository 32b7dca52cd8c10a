/** Volumes among the mounts of a container: found or made, filled from the image, held while the container exists. */
import { CaissonError, invalidArgument } from '../../errors.js'
import { applyLayer } from '../../layer/apply.js'
import { addon } from '../../native/addon.js'
import type { ContainerOptions, Mount } from '../../options.js'
import { newId } from '../../util/ids.js'
import { insidePath } from '../../util/paths.js'
import {
  checkVolumeName,
  contentOf,
  deleteVolume,
  fillVolume,
  makeVolume,
  useVolume,
  volumeSize,
} from '../../volume/store.js'
import { assemble, type ImageRoot } from '../options/assemble.js'
import { ownNamespaces } from '../options/choose-namespaces.js'
import type { Owner } from '../process/owner.js'
import { ContainerAgent } from './agents.js'
import { ContainerArchive } from './archive.js'
import type { FileStatus } from './file-status.js'

/** A mount of a volume's directory, with the ids of the container on disk, whichever user namespace it gets. */
export interface VolumeMount extends Mount {
  volume: string
  /** Its size is bounded by the project that its files belong to. */
  bounded: boolean
}

export interface HeldVolumes {
  /** Instead of those of the options. */
  mounts: Mount[]
  names: Array<{ name: string; target: string; anonymous: boolean }>
  /** `remove`: those without a name as well. */
  release(remove: boolean): Promise<void>
}

const holders = new Map<string, Set<string>>()

/** Containers of this process that use it. */
export function containersWith(volume: string): string[] {
  return [...holders].filter(([, names]) => names.has(volume)).map(([id]) => id)
}

/** undefined: it has none. `kept`: places that the image declares as volumes (VOLUME) get one each. */
export async function takeVolumes(
  options: ContainerOptions,
  { id, owner, image, kept }: { id: string; owner: Owner; image: ImageRoot; kept: boolean },
): Promise<HeldVolumes | undefined> {
  const mounts = [...(options.mounts ?? []), ...(kept ? declared(image, options) : [])]
  if (!mounts.some(({ type }) => type === 'volume')) return undefined
  const held: number[] = []
  const names: HeldVolumes['names'] = []
  const release = async (remove: boolean) => {
    for (const fd of held.splice(0)) addon().closeFd(fd)
    holders.delete(id)
    for (const { name, anonymous } of names.splice(0)) if (remove && anonymous) await deleteVolume(name)
  }
  try {
    const converted: Mount[] = []
    for (const [i, mount] of mounts.entries()) {
      if (mount.type !== 'volume') {
        converted.push(mount)
        continue
      }
      const { readOnly, source, size } = mount
      for (const key of ['propagation', 'idmap'] as const)
        if (mount[key] !== undefined) throw invalidArgument(`mounts[${i}].${key}`, mount[key], 'possible for a volume')
      const target = insidePath(mount.target, `mounts[${i}].target`)
      const anonymous = source === undefined
      const name = anonymous ? newId() : checkVolumeName(source, `mounts[${i}].source`)
      const bytes = size === undefined ? undefined : volumeSize(size, `mounts[${i}].size`)
      const { quota } = await makeVolume({ name, anonymous, size: bytes })
      names.push({ name, target, anonymous })
      held.push(await useVolume(name))
      await fill(name, target, image, owner)
      const bind = { type: 'bind' as const, source: contentOf(name), target, readOnly }
      const volume: VolumeMount = { ...bind, volume: name, bounded: quota !== undefined }
      converted.push(volume)
    }
    holders.set(id, new Set(names.map(({ name }) => name)))
    return { mounts: converted, names, release }
  } catch (error) {
    await release(true)
    throw error
  }
}

/** Content of images is not trusted: a place that cannot be a mount's is left out. */
function declared(image: ImageRoot, options: ContainerOptions): Mount[] {
  const taken = new Set((options.mounts ?? []).map(({ target }, i) => insidePath(target, `mounts[${i}].target`)))
  return Object.keys(image.config.Volumes ?? {}).flatMap((target): Mount[] => {
    if (!target.startsWith('/') || target.split('/').includes('..') || target.includes('\0')) return []
    const plain = insidePath(target, 'VOLUME')
    if (plain === '/' || taken.has(plain) || /^\/(proc|sys|dev)(\/|$)/.test(plain)) return []
    return [{ type: 'volume', target: plain }]
  })
}

/**
 * An empty volume gets what the image has in its place, with owners, as Docker's does. The image's tree is opened by the
 * file agent of a container that is never started; no link in it leads out.
 */
async function fill(name: string, target: string, image: ImageRoot, owner: Owner): Promise<void> {
  await fillVolume(name, async (directory) => {
    const { workload } = assemble({
      id: newId(),
      owner,
      image,
      command: ['/'],
      options: {},
      namespaces: ownNamespaces({}, owner.ordinary),
      copied: owner.isolation.layers === 'copy',
    })
    const agent = new ContainerAgent(workload, () => undefined, true)
    try {
      const status = await agent.fs.stat(target).catch(() => undefined)
      if (!status?.isDirectory()) return
      const source = new ContainerArchive(agent, workload, false).get(`${target}/.`, {})
      await applyLayer({ directory, source, whiteouts: 'none', devices: 'skip' })
      // As of a layer, which says what the root looks like.
      await applyLayer({ directory, source: itself(status), whiteouts: 'apply', devices: 'skip' })
    } catch (error) {
      throw new CaissonError('ERR_CAISSON_MOUNT', `volume ${name}: cannot copy ${target} of the image to it`, {
        stage: `mounts: ${target}`,
        hint: 'See the cause; a volume that is not empty is taken as it is.',
        cause: error as Error,
      })
    } finally {
      await agent.release()
    }
  })
}

/** The place itself, with its owner: as a member, for an ordinary user's files are given away inside its namespace only. */
async function* itself({ mode, uid, gid, mtimeMs }: FileStatus): AsyncGenerator<Uint8Array> {
  const { Header } = await import('tar')
  const block = Buffer.alloc(512)
  const mtime = new Date(mtimeMs)
  new Header({ path: './', type: 'Directory', mode: mode & 0o7777, uid, gid, mtime, size: 0 }).encode(block)
  yield Buffer.concat([block, Buffer.alloc(1024)])
}
