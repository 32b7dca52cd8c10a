/**
 * Images: what containers are made of. Those that were pulled, loaded or built lie in the store (docs/images.md). What
 * only a few calls need is loaded by these, so that a command that has little to do starts quickly.
 */

import path from 'node:path'
import type { Writable } from 'node:stream'
import type { PruneCacheOptions } from './build/cache.js'
import type { BuildOptions } from './build/options.js'
import { CaissonError, invalidArgument } from './errors.js'
import type { ImageHistory, ImageInspection, ImageLayer } from './image/describe.js'
import * as describe from './image/describe.js'
import { type ImageFilter, imageFilter } from './image/filter.js'
import { findImage, imageNotFound } from './image/find.js'
import { namedImage, namedImages, readNamed } from './image/list.js'
import type { LoadOptions, LoadSource } from './image/load.js'
import { fullTag, namedIn } from './image/names.js'
import type { Pruned, PruneFilter } from './image/remove.js'
import type { SavedImage, SaveOptions } from './image/save.js'
import { readStored, type StoredImage } from './image/stored.js'
import type { PullOptions, PushedImage, PushOptions } from './image/transfer.js'
import type { UnpackOptions } from './image/unpack.js'
import { warnOfDamage } from './image/users.js'
import type { ArchiveSource } from './runtime/container/archive.js'
import { imageRoots } from './runtime/image/roots.js'
import { usersOf } from './runtime/image/users.js'
import type { ImageRoot } from './runtime/options/assemble.js'
import { checkImageConfig } from './runtime/options/image-config.js'
import { snapshotSweeper } from './snapshot/snapshots.js'
import type { Descriptor } from './spec/descriptor.js'
import type { ImageConfig } from './spec/image.js'
import { type Platform, parsePlatform } from './spec/platform.js'
import { type Abortable, abortable, checkAborted } from './util/abort.js'
import { roots } from './util/roots.js'

/** Where an image is: in the store, or in directories that are used in place. */
interface Place {
  /** Directories that are used as they are. */
  root?: ImageRoot
  /** In the store. */
  stored?: StoredImage
  /** The full name that it was found by. */
  foundBy?: string
}

export class Image {
  readonly config: ImageConfig
  #id: string
  #place: Place
  #tags: readonly string[]

  private constructor(id: string, config: ImageConfig, place: Place, names: readonly string[] = []) {
    this.#id = id
    this.config = config
    this.#place = place
    const first = names.filter((name) => name === place.foundBy)
    this.#tags = describe.familiar([...first, ...names.filter((name) => name !== place.foundBy)])
  }

  /**
   * `sha256:...`: of the configuration, as docker's ids. Of one that is not in the store (yet): of what it is made of; it
   * has its own when it is stored.
   */
  get id(): string {
    return this.#id
  }

  /** Of the manifest, or of the index that it was chosen from; null: it is not in the store. */
  get digest(): string | null {
    return this.#place.stored?.root.digest ?? null
  }

  /** Its names, as docker prints them, when it was looked up; the one that it was found by comes first. */
  get tags(): readonly string[] {
    return this.#tags
  }

  /** Bytes in the store: configuration and layers, compressed. null: it is not in the store. */
  get size(): number | null {
    return this.#place.stored ? describe.sizeOf(this.#place.stored) : null
  }

  /** The lowest first; none: it is not in the store. */
  get layers(): readonly ImageLayer[] {
    return this.#place.stored ? describe.layersOf(this.#place.stored) : []
  }

  /** Internal: how a container gets its root from it. Layers are unpacked when they are needed first. */
  async rootfs(signal?: AbortSignal): Promise<ImageRoot> {
    const { root, stored } = this.#place
    return root ?? (await imageRoots()).rootOf(stored as StoredImage, signal)
  }

  /**
   * Fetches an image from its registry: `alpine` is docker.io/library/alpine:latest. What is here already is not fetched
   * again; the registry is asked what the name means now.
   */
  static async pull(ref: string, options: PullOptions = {}): Promise<Image> {
    const { pullImage } = await import('./image/transfer.js')
    const { stored, names } = await pullImage(await imageRoots(), ref, options)
    return Image.#ofStored(stored, names, namedIn(ref))
  }

  /** All images of a repository, as `docker pull --all-tags`, one after the other. What came before a failure stays. */
  static async pullAll(name: string, options: PullOptions = {}): Promise<Image[]> {
    const { checkPull, namesInRegistry } = await import('./image/transfer.js')
    checkPull(options)
    const images: Image[] = []
    for (const each of await namesInRegistry(name, options)) images.push(await Image.pull(each, options))
    return images
  }

  /**
   * Builds an image from a Dockerfile and a context, as `docker build`: docs/dockerfile.md. What it comes to is kept, with
   * the names of `tag` or without one.
   */
  static async build(options: BuildOptions): Promise<Image> {
    // It uses images and containers, and few programs need it: loaded when it is called.
    const { build } = await import('./build/build.js')
    return build(options)
  }

  /**
   * Removes what builds have kept: results of steps, digests of files, caches of `RUN --mount=type=cache` that no command
   * has, and content that nothing needs then. Gives how many went.
   */
  static async pruneBuildCache(options: PruneCacheOptions = {}): Promise<{ removed: number; bytes: number }> {
    const { pruneCache } = await import('./build/cache.js')
    const { store } = await imageRoots()
    const { removed, bytes } = await pruneCache(store, options)
    const collected = await store.collect({ sweepers: [snapshotSweeper(store.directory)] })
    return { removed, bytes: bytes + collected.bytes }
  }

  /**
   * An archive that docker save, podman save, skopeo or save() made, plain, gzip or zstd, or a directory with an OCI image
   * layout. Of several images in it the first is given back; see loadAll().
   */
  static async load(source: LoadSource, options: LoadOptions = {}): Promise<Image> {
    const [first] = await Image.loadAll(source, options)
    return first as Image
  }

  /** The same, with all images of it. */
  static async loadAll(source: LoadSource, options: LoadOptions = {}): Promise<Image[]> {
    const { loadImages } = await import('./image/load.js')
    const { loadPlaces } = await import('./runtime/image/load-places.js')
    const images = await loadImages(await loadPlaces(), source, options)
    return images.map(({ stored, names }) => Image.#ofStored(stored, names, names[0]))
  }

  /**
   * The host's own programs: its /usr (and /bin, /lib where they are not in it), certificates, and an /etc that is made
   * up; read-only, with nothing of /root, /home, /var or /run, and no key or password.
   */
  static async host(options: Abortable = {}): Promise<Image> {
    checkAborted(options.signal, 'image')
    const { hostRoot } = await import('./image/host.js')
    const made = await hostRoot(path.join(roots().data, 'host'))
    const config = { Cmd: ['/bin/sh'], WorkingDir: '/', Env: [] }
    const { trees, hidden, shown } = made
    const root = { lower: [made.skeleton], trees, hidden, shown, config }
    return new Image(made.digest, config, { root })
  }

  /**
   * A root file system: a directory, or a tar archive of one (a path of a file, a stream or bytes; plain, gzip or zstd),
   * as `docker export` and debootstrap make them.
   *
   * A directory is used in place, below the writable layers of containers: it is never written to, and must not change
   * while they run. An archive is unpacked to a place that is removed when this process ends; device nodes in it are left
   * out. Neither is in the store before it gets a name, is saved or pushed.
   */
  static async fromRootfs(
    source: string | ArchiveSource,
    config: ImageConfig = {},
    options: UnpackOptions = {},
  ): Promise<Image> {
    checkImageConfig(config)
    const { rootDirectory } = await import('./runtime/image/root-directory.js')
    const { id, directory } = await rootDirectory(source, config, options)
    return Image.ofLayers(id, [directory], config)
  }

  /**
   * One that is here: by its name (`alpine` is docker.io/library/alpine:latest), by an id or the beginning of one, or by
   * its digest. Nothing is fetched.
   */
  static async get(ref: string, options: Abortable & { platform?: string } = {}): Promise<Image> {
    checkAborted(options.signal, 'image')
    const image = await Image.#find(ref, platformIn(options))
    if (!image) throw imageNotFound(ref, 'Pull it with Image.pull(), or see Image.list().')
    return image
  }

  /** Internal: what run() and the others are given; fetched by the policy. */
  static async resolve(
    image: string | Image,
    options: { pull?: 'missing' | 'always' | 'never'; platform?: string; signal?: AbortSignal } = {},
  ): Promise<Image> {
    const { pull = 'missing', platform, signal } = options
    if (!['missing', 'always', 'never'].includes(pull)) throw invalidArgument('pull', pull, 'missing, always or never')
    if (typeof image !== 'string') {
      // Of whichever copy of this package.
      if (typeof (image as Image | undefined)?.rootfs !== 'function')
        throw invalidArgument('image', image, 'a name, or an Image')
      return image
    }
    if (pull === 'always') return Image.pull(image, { platform, signal })
    const found = await Image.#find(image, platformIn(options)).catch((error) => {
      // It may be here for another platform only.
      if (pull === 'missing' && (error as CaissonError).code === 'ERR_CAISSON_IMAGE_NOT_FOUND') return undefined
      throw error
    })
    if (found) return found
    if (pull === 'never') throw imageNotFound(image, "Pull it, or leave out pull: 'never'.")
    return Image.pull(image, { platform, signal })
  }

  /** All that are in the store, each once. Of one whose content is damaged there is a warning: see verifyStore(). */
  static async list(filter: ImageFilter = {}): Promise<Image[]> {
    const { store } = await imageRoots()
    const fits = await imageFilter(store, filter)
    const images: Image[] = []
    for (const named of await namedImages(store)) {
      if (!fits.names(named)) continue
      const stored = await readNamed(store, named.descriptor).catch((error) => warnOfDamage(named, error))
      if (stored && fits.document(stored.document)) images.push(Image.#ofStored(stored, named.names))
    }
    return images
  }

  /** Removes images without a name (or with `all`, those that no container uses), and content that nothing needs. */
  static async prune(filter: PruneFilter = {}): Promise<Pruned> {
    const { pruneImages } = await import('./image/remove.js')
    const { store } = await imageRoots()
    return abortable(filter?.signal, 'prune', () => pruneImages(store, filter, usersOf))
  }

  /** Gives it another name, which another image may have had. */
  async tag(ref: string, options: Abortable = {}): Promise<void> {
    checkAborted(options.signal, 'tag')
    const name = fullTag(ref)
    const { store } = await imageRoots()
    const { root } = await this.stored()
    await store.setRef(name, root)
    const named = await namedImage(store, root.digest)
    this.#tags = describe.familiar(named?.names ?? [name])
  }

  /** Sends it to a registry, under `ref` or its own name, and gives its digest there. What the registry has is not sent. */
  async push(ref?: string, options: PushOptions = {}): Promise<PushedImage> {
    const name = ref ?? this.#place.foundBy ?? this.#tags[0]
    if (name === undefined)
      throw new CaissonError('ERR_CAISSON_INVALID_ARGUMENT', 'push: the image has no name', {
        stage: 'push',
        hint: 'Say under which it is pushed: image.push("registry.example/app:1").',
      })
    const { pushImage } = await import('./image/transfer.js')
    return pushImage((await imageRoots()).store, name, await this.stored(), options)
  }

  /**
   * Writes an archive to a file, or to a stream, which is ended. As `docker save`: one that was found by a name has that
   * name in it; others have all that they have.
   */
  async save(to: string | Writable, options: SaveOptions = {}): Promise<void> {
    await Image.saveAll([this], to, options)
  }

  /** The same with several images in one archive. */
  static async saveAll(images: readonly Image[], to: string | Writable, options: SaveOptions = {}): Promise<void> {
    const { store } = await imageRoots()
    const { saveImages, savedTogether } = await import('./image/save.js')
    const saved: SavedImage[] = []
    for (const each of images) {
      const image = await each.stored()
      const { foundBy } = each.#place
      saved.push({ image, names: foundBy === undefined ? each.#tags.map((tag) => fullTag(tag)) : [foundBy] })
    }
    await saveImages(store, savedTogether(saved), to, options)
  }

  /** How it came about, the latest step first. */
  async history(options: Abortable = {}): Promise<ImageHistory[]> {
    checkAborted(options.signal, 'history')
    return this.#place.stored ? describe.historyOf(this.#place.stored) : []
  }

  /** All that is known of it. */
  async inspect(options: Abortable = {}): Promise<ImageInspection> {
    checkAborted(options.signal, 'inspect')
    const { stored } = this.#place
    return {
      id: this.id,
      digest: this.digest,
      tags: this.tags,
      created: stored?.document.created ? new Date(stored.document.created) : null,
      author: stored?.document.author ?? '',
      platform: stored ? describe.platformOf(stored) : null,
      config: this.config,
      size: this.size,
      layers: this.layers,
      history: await this.history(),
    }
  }

  /**
   * As `docker rmi`: one that was found by a name loses that, and with the last one its content. `force`: also with
   * several names, and while containers use it (they keep what they need). One that is not in the store is left alone.
   */
  async remove({ force = false, signal }: Abortable & { force?: boolean } = {}): Promise<void> {
    checkAborted(signal, 'remove')
    const { stored, foundBy } = this.#place
    if (!stored) return
    const { removeImage } = await import('./image/remove.js')
    await removeImage((await imageRoots()).store, stored.root.digest, foundBy, force, usersOf)
  }

  /**
   * The same by what people call it. An image whose content is damaged cannot be had by Image.get(); so it goes away, and
   * can be pulled or loaded again.
   */
  static async remove(ref: string, { force = false, signal }: Abortable & { force?: boolean } = {}): Promise<void> {
    checkAborted(signal, 'remove')
    const { store } = await imageRoots()
    const found = await findImage(store, ref)
    if (!found) throw imageNotFound(ref, 'See Image.list().')
    const { removeImage } = await import('./image/remove.js')
    await removeImage(store, found.descriptor.digest, found.name, force, usersOf)
  }

  /** Internal: one that was just stored. Without a name, it is kept when `keep`, and otherwise gone at the next collection. */
  static async made(descriptor: Descriptor, tag: string | undefined, keep = true): Promise<Image> {
    const { store } = await imageRoots()
    const name = tag === undefined ? undefined : fullTag(tag, 'tag')
    const naming = name !== undefined ? store.setRef(name, descriptor) : keep && store.refs.keep(descriptor)
    const [stored] = await Promise.all([readStored(store, descriptor), naming])
    return Image.#ofStored(stored, name === undefined ? [] : [name], name)
  }

  /** Internal: of a manifest or an index in the store, which may have no name. */
  static async ofDescriptor(descriptor: Descriptor, platform: string): Promise<Image> {
    const { store } = await imageRoots()
    return Image.#ofStored(await readStored(store, descriptor, parsePlatform(platform)), [])
  }

  static async #find(ref: string, platform: Platform | undefined): Promise<Image | undefined> {
    const { store } = await imageRoots()
    const found = await findImage(store, ref)
    if (!found) return undefined
    const { descriptor, name } = found
    const stored = await readNamed(store, descriptor, platform)
    if (!stored) return undefined
    const named = await namedImage(store, descriptor.digest)
    return Image.#ofStored(stored, named?.names ?? [], name)
  }

  static #ofStored(stored: StoredImage, names: readonly string[], foundBy?: string): Image {
    const { digest } = stored.manifest.config
    return new Image(digest, stored.document.config, { stored, foundBy }, names)
  }

  /** Internal: of unpacked layers, the topmost first, which somebody holds for as long as it is used. */
  static ofLayers(id: string, lower: readonly string[], config: ImageConfig): Image {
    return Image.ofRoot(id, { lower, trees: [], hidden: [], config })
  }

  /** Internal: of directories that somebody holds for as long as it is used. */
  static ofRoot(id: string, root: ImageRoot): Image {
    return new Image(id, root.config, { root })
  }

  /** Internal: in the store; of a directory, a copy is packed for it. */
  async stored(): Promise<StoredImage> {
    const { root, stored } = this.#place
    if (stored) return stored
    const [directory, ...more] = root?.lower ?? []
    if (directory === undefined || more.length > 0 || root?.trees.length)
      throw new CaissonError('ERR_CAISSON_UNSUPPORTED', 'image: this machine itself cannot be stored as an image', {
        stage: 'image',
        hint: 'Use an image that was pulled, built, loaded, or made by Image.fromRootfs().',
      })
    const { storeDirectory } = await import('./image/store-directory.js')
    const made = await storeDirectory((await imageRoots()).store, directory, this.config)
    this.#place = { ...this.#place, stored: made }
    this.#id = made.manifest.config.digest
    return made
  }
}

function platformIn({ platform }: { platform?: string }): Platform | undefined {
  return platform === undefined ? undefined : parsePlatform(platform)
}
