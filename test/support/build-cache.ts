/** Caches of builds: what is built to fill one, and caches in a registry as somebody with the right to push may write them. */
import { createHash } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import { storeBox } from './build.js'
import { noBusybox } from './busybox-image.js'
import { scratch } from './tree.js'

/** Four steps: two in the last stage, one below it, and one in a stage that it copies from. It needs a file `a`. */
export const CACHED_BUILD = `FROM box:1 AS tools
RUN echo tool > /tool
FROM box:1 AS base
COPY a /a
FROM base
RUN cat /a > /b
COPY --from=tools --chmod=700 /tool /tool
`

/** What the steps of it did, in order: `COPY cached`. */
export function shortSteps(steps: readonly string[]): string[] {
  return steps.map((step) => step.replace(/^(\w+).*: /, '$1 ')).sort()
}

/** A store with `box:1` alone, as on another machine. */
export async function forgetBuilds(): Promise<void> {
  process.env.CAISSON_ROOT = scratch()
  if (!noBusybox) await storeBox()
}

export interface CacheEntry {
  key: string
  record: Record<string, unknown>
  blob?: Record<string, unknown>
}

const MANIFEST = 'application/vnd.oci.image.manifest.v1+json'
export const CACHE_TYPE = 'application/vnd.caisson.build-cache.v1+json'
export const GZIP = 'application/vnd.oci.image.layer.v1.tar+gzip'

export const digestOf = (bytes: Uint8Array | string) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`

export class CacheWriter {
  readonly #base: string
  readonly #tag: string

  /** @param name `REPOSITORY:TAG` */
  constructor(host: string, name: string) {
    const [repository, tag] = name.split(':') as [string, string]
    this.#base = `http://${host}/v2/${repository}`
    this.#tag = tag
  }

  async manifest(): Promise<{ config: { digest: string }; layers: Array<{ digest: string; size: number }> }> {
    const response = await fetch(`${this.#base}/manifests/${this.#tag}`, { headers: { accept: MANIFEST } })
    return JSON.parse(await response.text())
  }

  async entries(): Promise<CacheEntry[]> {
    const response = await fetch(`${this.#base}/blobs/${(await this.manifest()).config.digest}`)
    return JSON.parse(await response.text()).records
  }

  /** Gives its descriptor. */
  async upload(bytes: Uint8Array, mediaType: string): Promise<{ mediaType: string; digest: string; size: number }> {
    const begun = await fetch(`${this.#base}/blobs/uploads/`, { method: 'POST' })
    const place = new URL(begun.headers.get('location') as string, this.#base)
    place.searchParams.set('digest', digestOf(bytes))
    const headers = { 'content-type': 'application/octet-stream' }
    const done = await fetch(place, { method: 'PUT', headers, body: bytes as Uint8Array<ArrayBuffer> })
    if (done.status !== 201) throw new Error(`upload: ${done.status} ${await done.text()}`)
    return { mediaType, digest: digestOf(bytes), size: bytes.length }
  }

  /** A layer that says it is `claimed`, or what it is. */
  async layer(plain: Buffer, claimed: { digest?: string; size?: number } = {}) {
    const blob = await this.upload(gzipSync(plain), GZIP)
    return { blob, layer: { digest: digestOf(plain), size: plain.length, ...claimed } }
  }

  /** Puts the cache with this text for a list of records in place of what is there. */
  async publish(config: string, layers: unknown[] = [], type = CACHE_TYPE): Promise<void> {
    const described = await this.upload(Buffer.from(config), type)
    const manifest = JSON.stringify({ schemaVersion: 2, mediaType: MANIFEST, config: described, layers })
    const headers = { 'content-type': MANIFEST }
    const done = await fetch(`${this.#base}/manifests/${this.#tag}`, { method: 'PUT', headers, body: manifest })
    if (done.status !== 201) throw new Error(`manifest: ${done.status} ${await done.text()}`)
  }

  replace(entries: readonly unknown[]): Promise<void> {
    const layers = entries.flatMap((entry) => (entry as CacheEntry | null)?.blob ?? [])
    return this.publish(JSON.stringify({ records: entries }), layers)
  }
}
