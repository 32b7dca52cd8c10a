/** Images of containers: what commit() does, and what fork() begins with. */
import { createHash } from 'node:crypto'
import path from 'node:path'
import type { Container } from './container.js'
import { CaissonError } from './errors.js'
import { unpackAbove } from './image/above.js'
import { type CommitOptions, commitImage, committedConfig } from './image/commit.js'
import { Image } from './image.js'
import type { ContainerArchive } from './runtime/container/archive.js'
import type { Parts } from './runtime/container/parts.js'
import { imageRoots } from './runtime/image/roots.js'
import { snapshotForm } from './runtime/image/snapshot-form.js'
import { checkImageConfig } from './runtime/options/image-config.js'
import { mergeEnvironment } from './runtime/options/process.js'
import type { ImageConfig } from './spec/image.js'
import { Hold } from './util/hold.js'
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

/** `docker commit`. Of an image that cannot be stored the result cannot either: it is there for this process alone. */
export function commitContainer(container: Container, committed: Committed, given: CommitOptions): Promise<Image> {
  const commit = () => commitNow(committed, given)
  return (given.pause ?? true) ? whileStill(container, commit) : commit()
}

/** The last of those who want a container to be still. */
const turns = new WeakMap<Container, Promise<void>>()

/**
 * With its processes frozen, where they run: `work` is told. One after the other: the first to be done would thaw it for
 * all.
 */
export function whileStill<T>(container: Container, work: (runs: boolean) => Promise<T>): Promise<T> {
  const turn = (turns.get(container) ?? Promise.resolve()).then(() => frozen(container, work))
  const over = () => undefined
  turns.set(container, turn.then(over, over))
  return turn
}

async function frozen<T>(container: Container, work: (runs: boolean) => Promise<T>): Promise<T> {
  if (container.state !== 'running') return work(false)
  await container.pause()
  try {
    return await work(true)
  } finally {
    // What has ended meanwhile, or was resumed by another, needs nothing.
    await container.resume().catch((error) => {
      if (container.state === 'paused') throw error
    })
  }
}

async function commitNow(committed: Committed, given: CommitOptions): Promise<Image> {
  checkNames(given, OPTIONS, '')
  if (given.config) checkImageConfig(given.config)
  const source = sourceOf(committed, 'commit')
  const { trees } = await source.rootfs(given.signal)
  // With a name it has to be stored; that error says why it cannot be.
  if (trees.length > 0 && given.tag === undefined) return (await commitInPlace(committed, source, given)).image
  return commitStored(committed, source, given, true)
}

/** An image for containers that go on from here, each of which is to hold it. */
export async function commitForFork(committed: Committed): Promise<Held> {
  const source = sourceOf(committed, 'fork')
  if (source.digest === null) return commitInPlace(committed, source, {})
  return { image: await commitStored(committed, source, {}, false), hold: new Hold(async () => undefined) }
}

function sourceOf({ source }: Committed, what: string): Image {
  if (source) return source
  throw new CaissonError('ERR_CAISSON_UNSUPPORTED', `${what}: the container is of an OCI bundle, not of an image`, {
    stage: what,
    hint: 'Make an image of its root with Image.fromRootfs().',
  })
}

interface Held {
  image: Image
  hold: Hold
}

/** What such images lie on. */
const holds = new WeakMap<Image, Hold>()

async function commitInPlace(committed: Committed, source: Image, given: CommitOptions): Promise<Held> {
  const { parts, archive } = committed
  const { owner } = parts
  const root = await source.rootfs(given.signal)
  const { root: above, remove } = await archive.packed(given.signal, (pack) =>
    unpackAbove(path.join(owner.data, 'images'), pack, root.lower, snapshotForm(owner)),
  )
  const config = configOf(committed, source, given)
  const id = createHash('sha256')
    .update(JSON.stringify({ base: source.id, above, config }))
    .digest('hex')
  const image = Image.ofRoot(`sha256:${id}`, { ...root, lower: [above, ...root.lower], config })
  const below = holds.get(source)?.take()
  const hold = new Hold(async () => {
    await remove()
    await below?.release()
  })
  holds.set(image, hold)
  return { image, hold }
}

/** `keep`: without a name, the image stays all the same. */
async function commitStored(committed: Committed, source: Image, given: CommitOptions, keep: boolean): Promise<Image> {
  const { tag, author, message, signal } = given
  const base = await source.stored()
  const config = configOf(committed, source, given)
  const { store } = await imageRoots()
  const lease = await store.lease()
  try {
    const descriptor = await committed.archive.packed(signal, (pack) =>
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

function configOf({ parts, labels }: Committed, source: Image, { config: changes }: CommitOptions): ImageConfig {
  const { options, command } = parts
  const { env, entrypoint, workdir, user } = options
  return committedConfig(
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
}
