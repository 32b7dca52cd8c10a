/**
 * Archives into and out of a container, and what it has changed.
 *
 * The file agent opens the root of the container for us; from that descriptor on the addon's reader and packer go by
 * openat2(RESOLVE_IN_ROOT) and by single names that are never followed, whatever the guest does meanwhile. Nothing of
 * the container is executed: decompression is ours (CVE-2026-41567).
 */

import { constants } from 'node:fs'
import { constants as system } from 'node:os'
import path from 'node:path'
import { Readable } from 'node:stream'
import { CaissonError, invalidArgument } from '../../errors.js'
import { applyLayer } from '../../layer/apply.js'
import { type Change, type DiffOptions, diffLayer } from '../../layer/diff.js'
import type { IdMap } from '../../layer/options.js'
import { type PackOptions, packStream } from '../../layer/pack.js'
import type { NativeFailure } from '../../native/addon.js'
import { checkAborted } from '../../util/abort.js'
import { insidePath } from '../../util/paths.js'
import type { Workload } from '../options/workload.js'
import type { ContainerAgent, Lent } from './agents.js'
import { withoutCopies } from './copied-diff.js'
import { fileError } from './fs.js'

/** A tar archive: plain, gzip or zstd. */
export type ArchiveSource = Uint8Array | AsyncIterable<Uint8Array>

export interface PutArchiveOptions {
  /** Fail where a directory would replace something else, or the other way round. Default false: they are replaced. */
  noOverwriteDirNonDir?: boolean
  signal?: AbortSignal
}

export class ContainerArchive {
  readonly #agent: ContainerAgent
  readonly #workload: Workload
  readonly #privileged: boolean

  constructor(agent: ContainerAgent, workload: Workload, privileged: boolean) {
    this.#agent = agent
    this.#workload = workload
    this.#privileged = privileged
  }

  async put(at: string, tar: ArchiveSource, options: PutArchiveOptions): Promise<void> {
    const directory = insidePath(at, 'path')
    const source = archiveChunks(tar, 'tar')
    const { noOverwriteDirNonDir = false, signal } = options
    checkAborted(signal, 'archive')
    if (this.#workload.spec.root?.readonly && !this.#agent.running)
      throw fileFailure(system.errno.EROFS, 'open', directory)
    if (!(await this.#agent.fs.stat(directory)).isDirectory())
      throw fileFailure(system.errno.ENOTDIR, 'open', directory)
    const lent = await this.#lend('ROOT', directory)
    try {
      await applyLayer({
        directory: lent.fd,
        at: directory,
        source,
        whiteouts: 'none',
        idMap: this.#idMap,
        devices: this.#privileged ? 'make' : 'refuse',
        replaceKind: !noOverwriteDirNonDir,
        end: 'lenient',
        digests: false,
        signal: both(lent.signal, signal),
      })
    } catch (error) {
      throw lent.signal.aborted ? interrupted(directory) : error
    } finally {
      lent.end()
    }
  }

  /** Nothing happens before the stream is read. */
  get(at: string, options: { signal?: AbortSignal; fewHoles?: boolean }): Readable {
    const place = archivePlace(at)
    const chunks = this.#chunks(place, options, (error) => stream.destroy(error))
    const stream = Readable.from(chunks, { objectMode: false, highWaterMark: 1024 * 1024 })
    return stream
  }

  async *#chunks(
    { directory, member, name }: ArchivePlace,
    { signal, fewHoles }: Parameters<ContainerArchive['get']>[1],
    failed: (error: Error) => void,
  ): AsyncGenerator<Buffer> {
    checkAborted(signal, 'archive')
    const flags = constants.O_RDONLY | constants.O_DIRECTORY
    const lent = member ? await this.#lend('ROOT', directory) : await this.#lend('OPEN', directory, [flags, 0])
    let packed: ReturnType<typeof packStream>
    try {
      packed = packStream({
        directory: lent.fd,
        ...(member ? { at: directory } : {}),
        ...(name === '' ? {} : { name }),
        layer: false,
        live: true,
        fewHoles,
        idMap: this.#idMap,
        signal: both(lent.signal, signal),
      })
    } catch (error) {
      lent.end()
      throw error
    }
    const reason = (error: Error) => (lent.signal.aborted ? interrupted(directory) : error)
    // Not at the end of this function: a reader who has stopped reading must not hold the container, and is told.
    packed.result.then(lent.end, (error) => {
      lent.end()
      failed(reason(error))
    })
    try {
      yield* packed.stream
    } catch (error) {
      throw reason(error as Error)
    }
  }

  /** What differs from the image. */
  async diff({ signal }: { signal?: AbortSignal }): Promise<Change[]> {
    return this.#withChanges(signal, (options) => this.#changes(options))
  }

  /** Gives `work` what packs these differences as a layer. */
  async packed<T>(signal: AbortSignal | undefined, work: (options: PackOptions) => Promise<T>): Promise<T> {
    return this.#withChanges(signal, async (options) => {
      const changes = await this.#changes(options)
      return work({
        directory: options.upper,
        form: options.merged ? 'tree' : 'overlay',
        changes,
        layer: true,
        // A file of any size is made by one call, which no limit of the container's is in the way of.
        fewHoles: true,
        // Of files on disk there is none: the layers are mapped when they are mounted.
        idMap: options.idMap,
        signal: options.signal,
      })
    })
  }

  async #changes(options: DiffOptions): Promise<Change[]> {
    const { rootfs } = this.#workload
    const { upper } = options
    const changes = await diffLayer(options)
    if (rootfs.kind !== 'overlay' || !rootfs.copied) return changes
    return withoutCopies(changes, typeof upper === 'number' ? `/proc/self/fd/${upper}` : upper, rootfs.lower)
  }

  async #withChanges<T>(signal: AbortSignal | undefined, work: (options: DiffOptions) => Promise<T>): Promise<T> {
    const { rootfs, spec, etc } = this.#workload
    if (rootfs.kind !== 'overlay')
      throw new CaissonError('ERR_CAISSON_UNSUPPORTED', 'diff: the container has no writable layer of its own', {
        stage: 'diff',
        hint: 'Its root is a directory that is used in place; compare that with a copy.',
      })
    const { lower: lowers, writable } = rootfs
    const places = [...(spec.mounts ?? []).map(({ destination }) => destination), ...rootfs.trees.map((t) => t.target)]
    const own = [...places, ...Object.keys(etc).map((name) => `/etc/${name}`)]
    if (writable.kind === 'disk') {
      const upper = path.join(writable.directory, 'upper')
      return work({ upper, merged: rootfs.copied, lowers, own, signal })
    }
    // In memory it lies in a mount that nobody can reach: what overlay shows is compared with the layers instead.
    const lent = await this.#lend('LAYERS', '/')
    try {
      return await work({
        upper: lent.fd,
        merged: true,
        lowers,
        own,
        idMap: this.#idMap,
        signal: both(lent.signal, signal),
      })
    } catch (error) {
      throw lent.signal.aborted ? interrupted('/') : error
    } finally {
      lent.end()
    }
  }

  /** Ids in the container to those where the work is done; undefined: they are the same. */
  get #idMap(): IdMap | undefined {
    return this.#workload.inside ? undefined : this.#workload.idMaps
  }

  async #lend(op: 'ROOT' | 'LAYERS' | 'OPEN', at: string, numbers: number[] = []): Promise<Lent> {
    try {
      return await this.#agent.lend(op, numbers, op === 'OPEN' ? at : '')
    } catch (error) {
      throw error instanceof CaissonError ? error : fileError(error as NativeFailure, 'OPEN', at)
    }
  }
}

/** Chunks of an archive that was given in memory or as a stream. */
export function archiveChunks(tar: unknown, option: string): AsyncIterable<Uint8Array> {
  if (tar instanceof Uint8Array) return Readable.from([tar], { objectMode: false })
  if (typeof tar === 'object' && tar !== null && Symbol.asyncIterator in tar) return tar as AsyncIterable<Uint8Array>
  throw invalidArgument(option, tar, 'a stream of bytes, or bytes')
}

export interface ArchivePlace {
  directory: string
  /** `directory` is a member of its parent, and no link is followed at its end; otherwise it is a directory. */
  member: boolean
  /** What it is called in the archive; empty: only what is in it is packed. */
  name: string
}

/**
 * As `docker cp`: a path names the member itself, and a link at its end is packed as a link; with a slash behind it the
 * directory that it leads to; with `/.` what is in that, without the directory.
 */
function archivePlace(at: unknown): ArchivePlace {
  const directory = insidePath(at, 'path')
  const content = directory === '/' || (at as string).endsWith('/.')
  const followed = content || (at as string).endsWith('/')
  return { directory, member: !followed, name: content ? '' : path.posix.basename(directory) }
}

function both(one: AbortSignal, other: AbortSignal | undefined): AbortSignal {
  return other ? AbortSignal.any([one, other]) : one
}

function fileFailure(errno: number, syscall: string, at: string): CaissonError {
  return fileError({ stage: 'files', syscall, errno, path: at, record: -1 }, 'OPEN', at)
}

function interrupted(at: string): CaissonError {
  return new CaissonError('ERR_CAISSON_INVALID_STATE', `${at}: the container was started or removed meanwhile`, {
    stage: 'archive',
    hint: 'Wait for archives to end before that.',
  })
}
