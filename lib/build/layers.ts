/** Layers of a build: plain archives in the store, and what lies below them. */
import { mkdir } from 'node:fs/promises'
import type { PackOptions } from '../layer/pack.js'
import { chainIds } from '../spec/chain-id.js'
import type { Descriptor } from '../spec/descriptor.js'
import { MEDIA_TYPES } from '../spec/media-types.js'
import type { Spool } from '../store/spool.js'
import type { WrittenArchive } from './files/entry.js'
import type { Workspace } from './workspace.js'

export interface BuildLayer {
  descriptor: Descriptor
  diffId: string
}

/** The files of a stage between two of its steps: layers, the lowest first. */
export type Stack = readonly BuildLayer[]

/** What overlay puts above each other, the topmost first; unpacked when they are needed first. */
export async function lowersOf(space: Workspace, stack: Stack): Promise<string[]> {
  if (stack.length === 0) {
    // Overlay wants at least one.
    const empty = await space.path()
    await mkdir(empty, { mode: 0o755 })
    return [empty]
  }
  const { directories } = await space.roots.unpack(
    stack.map(({ descriptor }) => descriptor),
    stack.map(({ diffId }) => diffId),
    // The archive is what lasts: after a crash it is unpacked again.
    { signal: space.signal, sync: false },
  )
  return directories
}

/** Stands for all files of a stack. */
export function stackId(stack: Stack): string {
  return chainIds(stack.map(({ diffId }) => diffId)).at(-1) ?? 'scratch'
}

/** undefined: there is nothing in it. */
export function storeMembers(
  space: Workspace,
  write: (fd: number) => Promise<WrittenArchive>,
): Promise<BuildLayer | undefined> {
  return stored(space, async (spool) => {
    const { digest, size, entries } = await write(spool.fd)
    return entries === 0 ? undefined : { digest, size }
  })
}

/** The same of a tree. */
export function storeTree(space: Workspace, options: PackOptions): Promise<BuildLayer | undefined> {
  return stored(space, async (spool) => {
    const { packLayer } = await import('../layer/pack.js')
    const { digest, size, entries } = await packLayer({ fewHoles: true, ...options, output: spool.fd })
    return entries === 0 ? undefined : { digest, size }
  })
}

async function stored(
  { roots, lease }: Workspace,
  write: (spool: Spool) => Promise<{ digest: string; size: number } | undefined>,
): Promise<BuildLayer | undefined> {
  const spool = await roots.store.spool(lease)
  try {
    const written = await write(spool)
    if (!written) {
      await spool.abort()
      return undefined
    }
    await spool.commit(written)
    return { descriptor: { mediaType: MEDIA_TYPES.ociLayer, ...written }, diffId: written.digest }
  } catch (error) {
    await spool.abort()
    throw error
  }
}
