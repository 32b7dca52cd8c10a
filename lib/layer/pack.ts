/** Packing a tree as a tar archive: a layer, or files out of a container. The same tree gives the same bytes. */
import { createHash } from 'node:crypto'
import { Socket } from 'node:net'
import { type Readable, Transform, type Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createGzip } from 'node:zlib'
import { CaissonError, invalidArgument } from '../errors.js'
import { addon } from '../native/addon.js'
import type { NativePack, NativePacked, NativeRunning } from '../native/layer.js'
import { parseSize, type Size } from '../util/units.js'
import type { Change } from './diff.js'
import { cancelled, finished, textToBytes } from './failure.js'
import { checkedLocation, cleanPath, type IdMap, nativeIdMap, type OverlayXattrs } from './options.js'
import { layers } from './performer.js'

export interface PackOptions {
  /** Path or descriptor of the root. */
  directory: string | number
  /** `tree` (default): as it is. `overlay`: what overlay writes to; its marks become whiteouts. */
  form?: 'tree' | 'overlay'
  overlayXattrs?: OverlayXattrs
  /** The archive is a layer (default): names that begin with `.wh.` are refused, for they would delete files. */
  layer?: boolean
  /** What is packed, inside the root; links on the way to it stay inside. Default all. */
  at?: string
  /** What that is called in the archive. Default: only what is in it is packed. A file needs a name. */
  name?: string
  /** Only these, and the directories above them: as diffLayer() gives them. Default everything. */
  changes?: readonly Change[]
  /** Ids in the archive to ids on this machine. */
  idMap?: IdMap
  /** Everything belongs to them. */
  owner?: { uid: number; gid: number }
  /**
   * The tree is a container's, which may change it meanwhile and may be hostile: what vanishes is left out, what shrinks is
   * filled up with zeros, and /proc, /sys and their like count as empty. Default false: a change is an error.
   */
  live?: boolean
  /** Whether times have fractions of seconds. Default false, as Docker's layers. */
  subseconds?: boolean
  /** Later times become this one, in whole seconds: for builds that can be repeated. */
  latest?: Date
  /** Bytes of the archive. Default no limit. */
  maxBytes?: Size
  /**
   * Holes of files are zeros in an archive, and on the disk that it comes to: all of them together may have 1 GiB at most.
   * Default any.
   */
  fewHoles?: boolean
  signal?: AbortSignal
}

export interface PackedLayer {
  /** Of the bytes that were written. */
  digest: string
  /** Of the plain archive. */
  diffId: string
  size: number
  plainSize: number
  entries: number
  /** Archives cannot hold sockets. */
  socketsSkipped: number
}

function nativeOptions(options: PackOptions): NativePack {
  const { at, name, changes, owner, latest, maxBytes } = options
  if (name !== undefined && (cleanPath(name) !== name || name === ''))
    throw invalidArgument('name', name, 'a relative path without "." and ".."')
  return {
    directory: checkedLocation(options.directory, 'directory'),
    overlay: options.form === 'overlay',
    overlayXattrs: options.overlayXattrs,
    layer: options.layer,
    ...(at === undefined ? {} : { base: textToBytes(cleanPath(at)) }),
    ...(name === undefined ? {} : { name: textToBytes(name) }),
    ...(changes && {
      changes: changes.flatMap(({ path, bytes, kind }) => [
        bytes ? cleanPath(bytes.toString('latin1')) : textToBytes(cleanPath(path)),
        kind === 'deleted',
      ]),
    }),
    ...nativeIdMap(options.idMap),
    ...(owner ?? {}),
    live: options.live,
    subseconds: options.subseconds,
    fewHoles: options.fewHoles,
    ...(latest && { latest: Math.floor(latest.getTime() / 1000) }),
    ...(maxBytes === undefined ? {} : { maxBytes: parseSize(maxBytes, 'maxBytes') }),
  }
}

function start(options: PackOptions, fd: number): { work: NativeRunning<NativePacked>; done: Promise<NativePacked> } {
  const work = layers().pack(nativeOptions(options), fd)
  return { work, done: finished(work, () => layers().cancel(work.handle), 'pack', options.signal) }
}

/** The plain archive as a stream; what went wrong destroys it. */
export function packStream(options: PackOptions): { stream: Readable; result: Promise<NativePacked> } {
  const pipe = addon().pipe()
  if (!Array.isArray(pipe))
    throw new CaissonError('ERR_CAISSON_RESOURCE_EXHAUSTED', 'pack: no pipe can be made', {
      stage: 'pack',
      hint: 'Raise the limit of open files (ulimit -n).',
    })
  const [read, write] = pipe
  let started: ReturnType<typeof start>
  try {
    started = start(options, write)
  } catch (error) {
    addon().closeFd(read)
    throw error
  } finally {
    addon().closeFd(write)
  }
  const { work, done } = started
  const stream = new Socket({ fd: read, readable: true, writable: false })
  // The end of the pipe is no proof that all of it came: hold it back until the packer says so.
  const checked = new Transform({
    highWaterMark: 1024 * 1024,
    transform: (chunk, _encoding, callback) => callback(null, chunk),
    flush: (callback) => void done.then(() => callback(), callback),
  })
  pipeline(stream, checked).catch(() => layers().cancel(work.handle))
  done.catch((error) => checked.destroy(error))
  return { stream: checked, result: done }
}

/** Writes an archive to a descriptor or a stream (which is ended). */
export async function packLayer(
  options: PackOptions & {
    output: number | Writable
    compression?: 'none' | 'gzip'
    /** Of gzip, 1 to 9. Default 6. */
    level?: number
  },
): Promise<PackedLayer> {
  const { output, compression = 'none', level = 6, signal } = options
  if (!Number.isInteger(level) || level < 1 || level > 9)
    throw invalidArgument('level', level, 'a whole number, 1 to 9')
  if (typeof output === 'number' && compression === 'none') {
    const { diffId, size, entries, socketsSkipped } = await start(options, output).done
    return { digest: diffId, diffId, size, plainSize: size, entries, socketsSkipped }
  }
  if (typeof output === 'number') throw invalidArgument('output', output, 'a stream where the archive is compressed')
  const { stream, result } = packStream(options)
  const hash = createHash('sha256')
  let size = 0
  const count = new Transform({
    transform: (chunk: Buffer, _encoding, callback) => {
      size += chunk.length
      hash.update(chunk)
      callback(null, chunk)
    },
  })
  const gzip = createGzip({ level, chunkSize: 1024 * 1024 })
  const parts = compression === 'gzip' ? [stream, gzip, new UnknownSystem(), count, output] : [stream, count, output]
  const abort = () => stream.destroy(cancelled('pack'))
  signal?.addEventListener('abort', abort, { once: true })
  try {
    await pipeline(parts)
  } finally {
    signal?.removeEventListener('abort', abort)
  }
  const packed = await result
  return {
    digest: `sha256:${hash.digest('hex')}`,
    diffId: packed.diffId,
    size,
    plainSize: packed.size,
    entries: packed.entries,
    socketsSkipped: packed.socketsSkipped,
  }
}

/** The tenth byte of a gzip header names the system, which builds of zlib disagree about: "unknown" (RFC 1952). */
class UnknownSystem extends Transform {
  #seen = 0

  override _transform(chunk: Buffer, _encoding: BufferEncoding, callback: (error: null, chunk: Buffer) => void): void {
    const at = 9 - this.#seen
    if (at >= 0 && at < chunk.length) chunk[at] = 255
    this.#seen += chunk.length
    callback(null, chunk)
  }
}
