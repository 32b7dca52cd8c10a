/**
 * Where things are on disk: an OCI image layout (image-spec image-layout.md), which other programs read, and beside it
 * what only we need.
 *
 *     oci-layout, index.json          the layout's version, and the names of images
 *     blobs/ALGORITHM/DIGITS          content; a blob is there whole or not at all, and never changes
 *     store/ingest/                   downloads under way, and what interrupted ones left
 *     store/leases/                   what processes are using; each holds a lock on its own
 *     store/trash/                    collected, being removed
 *     store/records/                  what builds have made, by key
 *     store/collect.lock              held (shared) by whoever adds something, and alone by whoever collects
 *     store/index.lock                held by whoever writes index.json
 */
import { access, readFile } from 'node:fs/promises'
import path from 'node:path'
import { parseDigest } from '../spec/digest.js'
import { parseDocument } from '../spec/json.js'
import { areDirectories, makeDirectories } from '../util/directories.js'
import { damaged } from './failure.js'
import { isMissing, isReadOnly, writeWhole } from './files.js'
import { withLock } from './lock.js'

const LAYOUT_VERSION = '1.0.0'
const EMPTY_INDEX = {
  schemaVersion: 2,
  mediaType: 'application/vnd.oci.image.index.v1+json',
  manifests: [],
}

export class Layout {
  readonly directory: string
  readonly index: string
  readonly ingest: string
  readonly leases: string
  readonly trash: string
  readonly records: string
  readonly collectLock: string
  readonly indexLock: string

  private constructor(directory: string) {
    const own = path.join(directory, 'store')
    this.directory = directory
    this.index = path.join(directory, 'index.json')
    this.ingest = path.join(own, 'ingest')
    this.leases = path.join(own, 'leases')
    this.trash = path.join(own, 'trash')
    this.records = path.join(own, 'records')
    this.collectLock = path.join(own, 'collect.lock')
    this.indexLock = path.join(own, 'index.lock')
  }

  /** Makes what is missing. Two processes may do so at once. */
  static async open(directory: string): Promise<Layout> {
    const layout = new Layout(path.resolve(directory))
    await layout.#makeDirectories().catch(async (error) => {
      // Where nothing can be written, what is there can be read.
      if (!isReadOnly(error) || !(await exists(path.join(layout.directory, 'oci-layout')))) throw error
    })
    await layout.#checkVersion()
    if (!(await exists(layout.index))) await layout.#makeIndex()
    return layout
  }

  async #makeDirectories(): Promise<void> {
    const below = [path.join(this.directory, 'blobs/sha256'), this.ingest, this.leases, this.trash, this.records]
    if (await areDirectories(below)) return
    // Others may pass through (a root may have been mapped for them); what images hold is for nobody else to read.
    await makeDirectories(this.directory, 0o711)
    const make = (inner: string) => makeDirectories(inner, 0o700)
    await Promise.all([path.join(this.directory, 'blobs'), path.dirname(this.ingest)].map(make))
    await Promise.all(below.map(make))
  }

  /** The path of a blob; throws unless it is the digest of content that can be verified. */
  blob(digest: string): string {
    const { algorithm, encoded } = parseDigest(digest)
    return path.join(this.directory, 'blobs', algorithm, encoded)
  }

  /** The path of a download. */
  partial(digest: string): string {
    const { algorithm, encoded } = parseDigest(digest)
    return path.join(this.ingest, `${algorithm}-${encoded}`)
  }

  async #checkVersion(): Promise<void> {
    const file = path.join(this.directory, 'oci-layout')
    let bytes: Buffer
    try {
      bytes = await readFile(file)
    } catch (error) {
      if (!isMissing(error)) throw error
      await writeWhole(file, `${JSON.stringify({ imageLayoutVersion: LAYOUT_VERSION })}\n`, this.ingest)
      return
    }
    const { imageLayoutVersion: version } = parseDocument(bytes, 'oci-layout')
    if (version !== LAYOUT_VERSION)
      throw damaged(
        `${file} says version ${JSON.stringify(version)}, not ${LAYOUT_VERSION}`,
        'Another program has written it: set CAISSON_ROOT to another directory, or update caisson.',
      )
  }

  async #makeIndex(): Promise<void> {
    await withLock(this.indexLock, true, async () => {
      if (!(await exists(this.index))) await writeWhole(this.index, `${JSON.stringify(EMPTY_INDEX)}\n`, this.ingest)
    })
  }
}

async function exists(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    (error) => {
      if (isMissing(error)) return false
      throw error
    },
  )
}
