/** Images of containers: what commit() and fork() do. */
import { CaissonError } from './errors.js'
import { type CommitOptions, commitImage, committedConfig } from './image/commit.js'
import { Image } from './image.js'
import type { ContainerArchive } from './runtime/container/archive.js'
import type { Parts } from './runtime/container/parts.js'
import { imageRoots } from './runtime/image/roots.js'
import { checkImageConfig } from './runtime/options/image-config.js'
import { mergeEnvironment } from './runtime/options/process.js'
import { checkNames, type Names } from './util/option-names.js'

export type { CommitOptions } from './image/commit.js'

export interface Committed {
  parts: Parts
  archive: ContainerArchive
  labels: Readonly<Record<string, string>>
  /** undefined: it was made of an OCI bundle. */
  source: Image | undefined
}

const OPTIONS: Names<CommitOptions> = {
  tag: true,
  author: true,
  message: true,
  config: true,
  pause: true,
  signal: true,
}

/** `keep`: without a name, the image stays all the same. */
export async function commitContainer(
  { parts, archive, labels, source }: Committed,
  given: CommitOptions,
  keep = true,
): Promise<Image> {
  checkNames(given, OPTIONS, '')
  const { tag, author, message, config: changes, signal } = given
  if (!source)
    throw new CaissonError('ERR_CAISSON_UNSUPPORTED', 'commit: the container is of an OCI bundle, not of an image', {
      stage: 'commit',
      hint: 'Make an image of its root with Image.fromRootfs().',
    })
  if (changes) checkImageConfig(changes)
  const base = await source.stored()
  const { options, command } = parts
  const { env, entrypoint, workdir, user } = options
  const config = committedConfig(
    source.config,
    {
      entrypoint,
      command,
      env: mergeEnvironment(source.config.Env, env),
      workdir,
      user: user === undefined ? undefined : String(user),
      labels,
    },
    changes,
  )
  const { store } = await imageRoots()
  const lease = await store.lease()
  try {
    const descriptor = await archive.packed(signal, (pack) =>
      commitImage(store, lease, base, pack, { config, author, message }),
    )
    const image = await Image.made(descriptor, tag, keep)
    // Its layers are held from here on, whatever is collected.
    if (!keep) await image.rootfs(signal)
    return image
  } finally {
    await lease.release()
  }
}
