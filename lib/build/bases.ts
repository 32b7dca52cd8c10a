/** Images that a build begins with or copies from: found once each. */

import type { StoredImage } from '../image/stored.js'
import { Image } from '../image.js'
import { type DirectoryContext, type GivenImage, openNamed } from './contexts.js'
import type { WantedImage } from './dockerfile/plan.js'
import type { BaseImage } from './dockerfile/plan-types.js'
import { formatPlatform, type Platform } from './dockerfile/platform.js'
import type { Stack } from './layers.js'
import type { BuildOptions } from './options.js'
import type { Workspace } from './workspace.js'

export interface FoundBase {
  stored: StoredImage
  stack: Stack
  base: BaseImage
}

export class Bases {
  readonly #space: Workspace
  readonly #options: BuildOptions
  readonly #images = new Map<string, Promise<FoundBase>>()
  readonly #named = new Map<string, Promise<DirectoryContext | { image: GivenImage }>>()

  constructor(space: Workspace, options: BuildOptions) {
    this.#space = space
    this.#options = options
  }

  /** For the planner; undefined: a context that is no image. */
  async resolve(wanted: WantedImage): Promise<BaseImage | undefined> {
    await this.#space.open()
    if (wanted.kind === 'image') return (await this.image(wanted.name, wanted.platform)).base
    const named = await this.named(wanted.name)
    return 'image' in named ? (await this.image(named.image, wanted.platform)).base : undefined
  }

  named(name: string): Promise<DirectoryContext | { image: GivenImage }> {
    let found = this.#named.get(name)
    if (!found) {
      const given = this.#options.contexts?.[name] as string | Image
      found = openNamed(this.#space, name, given, this.#options.ssh)
      this.#named.set(name, found)
    }
    return found
  }

  image(image: GivenImage, platform: Platform): Promise<FoundBase> {
    const key = `${nameOf(image)} ${formatPlatform(platform)}`
    let found = this.#images.get(key)
    if (!found) {
      found = this.#find(image, platform)
      this.#images.set(key, found)
    }
    return found
  }

  async #find(image: GivenImage, platform: Platform): Promise<FoundBase> {
    const { pull, auth, onProgress } = this.#options
    const { signal, lease } = this.#space
    const policy = pull === true ? 'always' : pull === false || pull === undefined ? 'missing' : pull
    const found = await this.#fetch(image, formatPlatform(platform), policy, {
      auth,
      signal,
      onProgress: onProgress && ((event) => onProgress({ type: 'transfer', image: nameOf(image), event })),
    })
    const stored = await found.stored()
    await lease.add({ digest: stored.descriptor.digest, mediaType: stored.descriptor.mediaType })
    const { document, manifest } = stored
    const stack = manifest.layers.map((layer, index) => ({
      descriptor: layer,
      diffId: document.rootfs.diff_ids[index] as string,
    }))
    const { os, architecture, variant, author, config, history } = document
    const base: BaseImage = {
      os,
      architecture,
      ...(variant ? { variant } : {}),
      ...(author ? { author } : {}),
      config,
      history: withLayers(history, stack.length),
      digest: manifest.config.digest,
    }
    return { stored, stack, base }
  }

  async #fetch(
    image: GivenImage,
    platform: string,
    policy: 'missing' | 'always' | 'never',
    options: Parameters<typeof Image.pull>[1],
  ): Promise<Image> {
    if (image instanceof Image) return image
    if (typeof image !== 'string') return Image.ofDescriptor(image.layout, platform)
    if (policy === 'always') return Image.pull(image, { ...options, platform })
    try {
      return await Image.resolve(image, { pull: 'never', platform })
    } catch (error) {
      if (policy === 'never' || (error as { code?: string }).code !== 'ERR_CAISSON_IMAGE_NOT_FOUND') throw error
      return Image.pull(image, { ...options, platform })
    }
  }
}

function nameOf(image: GivenImage): string {
  if (typeof image === 'string') return image
  return image instanceof Image ? image.id : image.layout.digest
}

/** Programs take a history that tells of fewer layers than there are for damage: those of others get an entry each. */
function withLayers(history: BaseImage['history'], layers: number): BaseImage['history'] {
  const told = history.filter((entry) => !entry.empty_layer).length
  if (told > layers) return history.map((entry) => ({ ...entry, empty_layer: true }))
  const missing = Array.from({ length: layers - told }, () => ({ created_by: '' }))
  return [...missing, ...history]
}
