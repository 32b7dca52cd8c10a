/** Images: what containers are made of. */
import path from 'node:path'
import { CaissonError } from './errors.js'
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

  static async get(ref: string): Promise<Image> {
    throw new CaissonError('ERR_CAISSON_IMAGE_NOT_FOUND', `there is no image ${JSON.stringify(ref)}`, {
      stage: 'image',
      hint: 'Use Image.host() or Image.fromRootfs().',
    })
  }
}
