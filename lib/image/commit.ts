/** Containers made into images: what they changed becomes a layer above those of their image. */
import type { PackOptions } from '../layer/pack.js'
import type { Descriptor } from '../spec/descriptor.js'
import type { ImageConfig } from '../spec/image.js'
import type { Lease } from '../store/lease.js'
import type { Store } from '../store/store.js'
import { makeImage } from './make.js'
import { storeLayer } from './new-layer.js'
import type { StoredImage } from './stored.js'

export interface CommitOptions {
  /** The new image's name; without one it has only its id. */
  tag?: string
  author?: string
  /** Kept in the image's history. */
  message?: string
  /** What is different in its configuration. */
  config?: ImageConfig
  /** Whether its processes stand still meanwhile. Default true. */
  pause?: boolean
  signal?: AbortSignal
}

/** What a container was started with, where that is not its image's. */
export interface Started {
  entrypoint?: readonly string[]
  command?: readonly string[]
  env: readonly string[]
  workdir?: string
  user?: string
  labels: Readonly<Record<string, string>>
}

/** Docker's: the container's own configuration, then what the caller wants different. */
export function committedConfig(image: ImageConfig, started: Started, changes: ImageConfig = {}): ImageConfig {
  const { entrypoint, command, env, workdir, user, labels } = started
  return {
    ...image,
    ...(env.length > 0 ? { Env: [...env] } : {}),
    ...(entrypoint === undefined ? {} : { Entrypoint: [...entrypoint], Cmd: [] }),
    ...(command === undefined ? {} : { Cmd: [...command] }),
    ...(workdir === undefined ? {} : { WorkingDir: workdir }),
    ...(user === undefined ? {} : { User: user }),
    ...(Object.keys(labels).length > 0 ? { Labels: { ...labels } } : {}),
    ...changes,
  }
}

/** Nothing is different: then there is no layer. */
export async function commitImage(
  store: Store,
  lease: Lease,
  base: StoredImage,
  pack: PackOptions,
  { config, author, message }: Pick<CommitOptions, 'author' | 'message'> & { config: ImageConfig },
): Promise<Descriptor> {
  const layer = await storeLayer(store, lease, pack)
  const history = {
    created_by: (config.Cmd ?? config.Entrypoint ?? []).join(' '),
    ...(author ? { author } : {}),
    ...(message ? { comment: message } : {}),
  }
  return makeImage(store, lease, base, { config, author, history, ...(layer.entries > 0 ? { layer } : {}) })
}
