/** A cache in a directory: an OCI image layout with the cache alone in it. */
import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { copyFile, mkdir, rename, rm, stat } from 'node:fs/promises'
import path from 'node:path'
import { CaissonError } from '../errors.js'
import { bringFromLayout, findInLayout } from '../image/load-oci.js'
import type { Descriptor } from '../spec/descriptor.js'
import { parseDigest } from '../spec/digest.js'
import { DOCUMENT_BOUNDS } from '../spec/json.js'
import { parseManifest } from '../spec/manifest.js'
import { isFull, isMissing, writeWhole } from '../store/files.js'
import type { CachePlace } from './cache-place.js'
import type { Workspace } from './workspace.js'

const LAYOUT = JSON.stringify({ imageLayoutVersion: '1.0.0' })
const NAME = { 'org.opencontainers.image.ref.name': 'latest' }

export class DirectoryPlace implements CachePlace {
  readonly name: string
  readonly #space: Workspace

  constructor(space: Workspace, directory: string) {
    this.name = path.resolve(directory)
    this.#space = space
  }

  async manifest(): Promise<{ bytes: Buffer; descriptor: Descriptor } | undefined> {
    if (!(await isThere(path.join(this.name, 'index.json')))) return undefined
    const descriptor = await findInLayout(this.name, {})
    if (!(await this.bring(descriptor))) return undefined
    return { bytes: await this.#space.roots.store.read(descriptor.digest, DOCUMENT_BOUNDS.bytes), descriptor }
  }

  bring(descriptor: Descriptor): Promise<boolean> {
    const { roots, lease, signal } = this.#space
    return bringFromLayout(roots.store, lease, this.name, signal)(descriptor)
  }

  /** What the cache there had before and has no more is removed: it would grow with every build. */
  async send(manifest: Descriptor, parts: readonly Descriptor[]): Promise<void> {
    const before = await this.#named().catch(() => [])
    try {
      const blobs = [...parts, manifest]
      for (const blob of blobs) await this.#write(blob)
      await writeWhole(path.join(this.name, 'oci-layout'), LAYOUT, this.name)
      const { mediaType, digest, size } = manifest
      const index = { schemaVersion: 2, manifests: [{ mediaType, digest, size, annotations: NAME }] }
      await writeWhole(path.join(this.name, 'index.json'), JSON.stringify(index), this.name)
      const kept = new Set(blobs.map((blob) => blob.digest))
      for (const each of before) if (!kept.has(each)) await rm(this.#at(each), { force: true })
    } catch (error) {
      throw directoryError(this.name, error)
    }
  }

  [Symbol.dispose](): void {}

  /** Digests that the cache there is made of. */
  async #named(): Promise<string[]> {
    const there = await this.manifest()
    if (!there) return []
    const { config, layers } = parseManifest(there.bytes, there.descriptor.mediaType)
    return [there.descriptor, config, ...layers].map(({ digest }) => digest)
  }

  #at(digest: string): string {
    const { algorithm, encoded } = parseDigest(digest)
    return path.join(this.name, 'blobs', algorithm, encoded)
  }

  async #write({ digest, size }: Descriptor): Promise<void> {
    this.#space.signal.throwIfAborted()
    const to = this.#at(digest)
    if ((await stat(to).catch(() => undefined))?.size === size) return
    await mkdir(path.dirname(to), { recursive: true })
    const beside = `${to}-${randomBytes(8).toString('hex')}`
    try {
      await copyFile(this.#space.roots.store.path(digest), beside, constants.COPYFILE_FICLONE)
      await rename(beside, to)
    } catch (error) {
      await rm(beside, { force: true })
      throw error
    }
  }
}

async function isThere(file: string): Promise<boolean> {
  return stat(file).then(
    () => true,
    (error) => {
      if (isMissing(error)) return false
      throw directoryError(file, error)
    },
  )
}

function directoryError(at: string, error: unknown): unknown {
  const { code, errno, syscall } = error as NodeJS.ErrnoException
  if (error instanceof CaissonError || code === undefined || syscall === undefined) return error
  const full = isFull(error)
  return new CaissonError(
    full ? 'ERR_CAISSON_RESOURCE_EXHAUSTED' : 'ERR_CAISSON_FILE',
    `build: the cache in ${at}: ${syscall}: ${code}`,
    {
      stage: 'build',
      hint: full ? 'The disk is full: free space, or name another directory.' : 'Name a directory of this user.',
      cause: { code, errno: errno ?? 0, syscall, path: at },
    },
  )
}
