/**
 * What the addon exports about files of content: they are hashed, written and synced by a thread of their own. Promises
 * reject with a NativeFailure, whose path is the one that was given.
 */
import type { DigestAlgorithm } from '../spec/digest.js'

declare const handle: unique symbol
export interface NativeBlobFile {
  readonly [handle]: true
}

export interface NativeBlob {
  /** The descriptor is duplicated. That it could not be, the first promise says. */
  open(fd: number, algorithm: DigestAlgorithm, path: string): NativeBlobFile
  /** Hashes what is there up to the byte `end`; how many bytes that were. What is written then comes behind them. */
  resume(file: NativeBlobFile, end: number): Promise<number>
  /** Until the promise is settled the chunk's memory must stay as it is. Several may be under way, in their order. */
  write(file: NativeBlobFile, chunk: Uint8Array): Promise<void>
  /** fdatasync(2). */
  sync(file: NativeBlobFile): Promise<void>
  /** `sha256:...` of all that was resumed and written. Nothing may follow. */
  digest(file: NativeBlobFile): Promise<string>
  /** Once. What has not begun is not done any more (ECANCELED). */
  close(file: NativeBlobFile): Promise<void>
}
