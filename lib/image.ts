/** Images: what containers are made of. */
import { createHash } from 'node:crypto'
import { stat } from 'node:fs/promises'
import path from 'node:path'
import { CaissonError, invalidArgument } from './errors.js'
import { hostRoot } from './image/host.js'
import type { ImageRoot } from './runtime/assemble.js'
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
   * A directory as the root of containers. It is used in place, below their writable layers: it is never written to, and
   * must not change while they run.
   */
  static async fromRootfs(directory: string, config: ImageConfig = {}): Promise<Image> {
    if (typeof directory !== 'string') throw invalidArgument('rootfs', directory, 'a path of a directory')
    const absolute = path.resolve(directory)
    const status = await stat(absolute).catch(() => undefined)
    if (!status?.isDirectory())
      throw new CaissonError('ERR_CAISSON_IMAGE_NOT_FOUND', `${absolute} is not a directory`, {
        stage: 'image',
        hint: 'Give the directory that holds bin, lib and so on.',
      })
    const identity = JSON.stringify({ absolute, ino: status.ino, dev: status.dev, config })
    const id = `sha256:${createHash('sha256').update(identity).digest('hex')}`
    return new Image(id, { lower: [absolute], trees: [], hidden: [], config })
  }

  static async get(ref: string): Promise<Image> {
    throw new CaissonError('ERR_CAISSON_IMAGE_NOT_FOUND', `there is no image ${JSON.stringify(ref)}`, {
      stage: 'image',
      hint: 'Use Image.host() or Image.fromRootfs().',
    })
  }
}
