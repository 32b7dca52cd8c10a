/** Images: what containers are made of. */
import { createHash } from 'node:crypto'
import { stat } from 'node:fs/promises'
import path from 'node:path'
import { CaissonError } from './errors.js'
import { hostRoot } from './image/host.js'
import { type UnpackOptions, unpackRoot } from './image/unpack.js'
import type { ImageRoot } from './runtime/assemble.js'
import { type ArchiveSource, archiveChunks } from './runtime/container-archive.js'
import { hasOthers } from './runtime/id-maps.js'
import { owner } from './runtime/owner.js'
import type { ImageConfig } from './spec/image.js'
import { roots } from './util/roots.js'

export class Image {
  /** As `sha256:...`, of what the image is made of. */
  readonly id: string
  readonly config: ImageConfig
  /** Internal: how a container gets its root from it. */
  readonly root: ImageRoot

  private constructor(id: string, root: ImageRoot) {
    this.id = id
    this.root = root
    this.config = root.config
  }

  /**
   * The host's own programs: its /usr (and /bin, /lib where they are not in it), certificates, and an /etc that is made
   * up; read-only, with nothing of /root, /home, /var or /run, and no key or password.
   */
  static async host(): Promise<Image> {
    const made = await hostRoot(path.join(roots().data, 'host'))
    return new Image(made.digest, {
      lower: [made.skeleton],
      trees: made.trees,
      hidden: made.hidden,
      config: { Cmd: ['/bin/sh'], WorkingDir: '/', Env: [] },
    })
  }

  /**
   * A root file system: a directory, or a tar archive of one (a path of a file, a stream or bytes; plain, gzip or zstd),
   * as `docker export` and debootstrap make them.
   *
   * A directory is used in place, below the writable layers of containers: it is never written to, and must not change
   * while they run. An archive is unpacked to a place that is removed when this process ends; device nodes in it are left
   * out.
   */
  static async fromRootfs(
    source: string | ArchiveSource,
    config: ImageConfig = {},
    options: UnpackOptions = {},
  ): Promise<Image> {
    if (typeof source !== 'string') return Image.#fromArchive(archiveChunks(source, 'rootfs'), config, options)
    const absolute = path.resolve(source)
    const status = await stat(absolute).catch(() => undefined)
    if (status?.isFile()) return Image.#fromArchive(absolute, config, options)
    if (!status?.isDirectory())
      throw new CaissonError('ERR_CAISSON_IMAGE_NOT_FOUND', `${absolute} is neither a directory nor an archive`, {
        stage: 'image',
        hint: 'Give the directory that holds bin, lib and so on, or a tar archive of it.',
      })
    const identity = JSON.stringify({ absolute, ino: status.ino, dev: status.dev, config })
    return Image.#ofDirectory(absolute, identity, config)
  }

  static async #fromArchive(
    source: string | AsyncIterable<Uint8Array>,
    config: ImageConfig,
    options: UnpackOptions,
  ): Promise<Image> {
    const { data, ordinary } = await owner()
    const owners = ordinary && !hasOthers(ordinary.idMaps) ? 'ignore' : 'set'
    const { root, diffId } = await unpackRoot(path.join(data, 'images'), source, { ...options, owners })
    return Image.#ofDirectory(root, JSON.stringify({ diffId, config }), config)
  }

  static #ofDirectory(directory: string, identity: string, config: ImageConfig): Image {
    const id = `sha256:${createHash('sha256').update(identity).digest('hex')}`
    return new Image(id, { lower: [directory], trees: [], hidden: [], config })
  }

  /** Internal: of unpacked layers, the topmost first, which somebody holds for as long as it is used. */
  static ofLayers(id: string, lower: readonly string[], config: ImageConfig): Image {
    return new Image(id, { lower, trees: [], hidden: [], config })
  }

  static async get(ref: string): Promise<Image> {
    throw new CaissonError('ERR_CAISSON_IMAGE_NOT_FOUND', `there is no image ${JSON.stringify(ref)}`, {
      stage: 'image',
      hint: 'Use Image.host() or Image.fromRootfs().',
    })
  }
}
