/** What a container is made of, before it is an object that does something; and the end of all that. */
import { mkdir, rm } from 'node:fs/promises'
import path from 'node:path'
import { CaissonError, invalidArgument } from '../../errors.js'
import { removeTree } from '../../layer/tree.js'
import type { ContainerOptions } from '../../options.js'
import type { ImageConfig } from '../../spec/image.js'
import { newId } from '../../util/ids.js'
import { writeBundle } from '../bundle/bundle.js'
import { loadBundle } from '../bundle/load.js'
import { checkTier, overlayTakes } from '../isolation/isolation.js'
import { type Place, takePlace } from '../isolation/place.js'
import type { Assembled, ImageRoot } from '../options/assemble.js'
import { checkContainerOptions } from '../options/check.js'
import { type Owner, owner } from '../process/owner.js'
import { attach, type ContainerNetwork, releaseAttachment } from './attachments.js'
import type { Hooks } from './hooks.js'
import { releaseName, takeName } from './registry.js'
import { type HeldVolumes, takeVolumes } from './volumes.js'

export interface Parts {
  id: string
  name: string
  /** What it was made of: a reference, or an image's id. */
  image: string
  imageId?: string
  options: ContainerOptions
  /** undefined: the image's. */
  command?: readonly string[]
  owner: Owner
  assembled: Assembled
  /** Kept until it is removed: each start enters it anew. */
  place: Pick<Place, 'close' | 'namespaces'>
  /** Its networks; addresses are its own until it is removed. */
  network?: ContainerNetwork
  volumes?: HeldVolumes
  /** State, log and bundle; gone with the owner. */
  run: string
  /** The writable layer, when it is on disk. */
  data: string | undefined
  imageConfig: ImageConfig
  hooks?: Hooks
}

interface SourceImage {
  name: string
  id: string
  root: ImageRoot
  config: ImageConfig
}

/** Takes the name, opens the namespaces and writes the bundle; all of it or nothing. */
export async function makeParts(
  image: SourceImage,
  { command, ...options }: ContainerOptions & { command?: readonly string[] },
): Promise<Parts> {
  checkContainerOptions(options)
  const holder = await owner()
  const id = newId()
  const inMemory = liesInMemory(options) || holder.isolation.tier === 'landlock'
  const data = inMemory ? undefined : path.join(holder.data, 'containers', id)
  const run = path.join(holder.run, 'containers', id)
  const copied = data !== undefined && !(await layersOnDisk(holder))
  const place = await takePlace(holder, options)
  const undo = [() => place.close()]
  try {
    const { root } = image
    const name = await takeName(options.name, holder, id)
    undo.push(() => releaseName(name, id))
    const network = await attach(options, holder, {
      id,
      name,
      hostname: options.hostname,
      exposed: image.config.ExposedPorts,
    })
    undo.push(() => releaseAttachment(id))
    const volumes = await takeVolumes(options, { id, owner: holder, image: root, kept: place.namespaces !== undefined })
    undo.push(async () => volumes?.release(true))
    const assembled = place.assemble({
      id,
      image: root,
      command,
      options: volumes ? { ...options, mounts: volumes.mounts } : options,
      directory: data,
      copied,
      network,
      kept: true,
    })
    undo.push(() => rm(run, { recursive: true, force: true }))
    if (data) undo.push(() => removeTree(data))
    // Its configuration has the environment.
    await mkdir(run, { recursive: true, mode: 0o700 })
    // A sandbox is nothing that another runtime could make.
    if (!assembled.workload.sandbox) await writeBundle({ directory: run, data, assembled, image: root })
    const more = {
      options,
      command,
      owner: holder,
      assembled,
      place,
      network,
      volumes,
      run,
      data,
      imageConfig: image.config,
    }
    return { id, name, image: image.name, imageId: image.id, ...more }
  } catch (error) {
    for (const step of undo.reverse()) await step()
    throw error
  }
}

/** A bound is a tmpfs's: on disk whoever mounts the layer writes to it, and is bound by no quota of ext4's. */
function liesInMemory({ storage, limits }: ContainerOptions): boolean {
  const bounded = limits?.disk !== undefined
  if (storage === 'disk' && bounded)
    throw new CaissonError('ERR_CAISSON_LIMIT_UNAVAILABLE', 'limits.disk bounds a writable layer in memory alone', {
      stage: 'options',
      hint: "Leave storage: 'disk' out, or keep what may grow in a volume with a size.",
    })
  return storage === 'memory' || (storage === undefined && bounded)
}

const onDisk = new WeakMap<Owner, Promise<boolean>>()

/** Looked at once. Where overlay is not to be had at all nothing is tried. */
export function layersOnDisk(holder: Owner): Promise<boolean> {
  const { isolation, data, ordinary, staging } = holder
  if (isolation.layers === 'copy') return Promise.resolve(false)
  let known = onDisk.get(holder)
  if (!known) {
    known = overlayTakes(path.join(data, 'trial'), ordinary?.user, staging)
    onDisk.set(holder, known)
  }
  return known
}

/** Of an OCI bundle: its root is used in place, and its name is the beginning of the id. */
export async function partsOfBundle(directory: string): Promise<Parts> {
  if (typeof directory !== 'string') throw invalidArgument('bundle', directory, 'a path of a directory')
  const holder = await owner()
  checkTier(holder.isolation)
  const id = newId()
  const { spec, hooks, namespaces, ...assembled } = await loadBundle(directory, id, holder)
  const run = path.join(holder.run, 'containers', id)
  await mkdir(run, { recursive: true, mode: 0o700 })
  return {
    id,
    name: id.slice(0, 12),
    image: path.resolve(directory),
    options: { labels: spec.annotations },
    owner: holder,
    assembled,
    place: { close: async () => namespaces.close() },
    run,
    data: undefined,
    imageConfig: {},
    hooks,
  }
}

/** Gives everything back; nothing may run in it any more. `removeVolumes`: those without a name too. */
export async function discardParts(parts: Parts, removeVolumes = false): Promise<void> {
  const { id, name, place, run, data, volumes } = parts
  await place.close()
  await volumes?.release(removeVolumes)
  await releaseAttachment(id)
  // Its state may just be written there.
  await rm(run, { recursive: true, force: true, maxRetries: 5, retryDelay: 5 })
  if (data) await removeTree(data)
  await releaseName(name, id)
}
