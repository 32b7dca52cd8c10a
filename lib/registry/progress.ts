/** Progress of pulls and pushes, part by part. */
import type { Descriptor } from '../spec/descriptor.js'

/** What happens to one part of an image. */
export interface TransferEvent {
  /** The part's digest. */
  id: string
  kind: 'config' | 'layer'
  /**
   * Of a pull: waiting, downloading, verifying, extracting, then done; `exists` when it was there before. Of a push:
   * waiting, uploading, then done; `mounted` or `exists` when the registry had it.
   */
  status: 'waiting' | 'downloading' | 'verifying' | 'extracting' | 'uploading' | 'done' | 'exists' | 'mounted'
  /** Bytes, of `total`. */
  current: number
  total: number
}

export type OnProgress = (event: TransferEvent) => void

/** Milliseconds between two events of one part in the same status. */
const INTERVAL = 50

/** Tells what happens to one part, not more often than anybody can look. */
export class PartProgress {
  readonly #part: Pick<TransferEvent, 'id' | 'kind' | 'total'>
  readonly #tell: OnProgress | undefined
  #status: TransferEvent['status'] = 'waiting'
  #current = 0
  #told = 0

  constructor({ digest, size }: Descriptor, kind: TransferEvent['kind'], tell: OnProgress | undefined) {
    this.#part = { id: digest, kind, total: size }
    this.#tell = tell
    this.#emit()
  }

  to(status: TransferEvent['status'], current = this.#current): void {
    if (status === this.#status && performance.now() - this.#told < INTERVAL) return
    this.#status = status
    this.#current = current
    this.#emit()
  }

  /** There, in whatever way. */
  ended(status: 'done' | 'exists' | 'mounted'): void {
    this.to(status, this.#part.total)
  }

  #emit(): void {
    this.#told = performance.now()
    this.#tell?.({ ...this.#part, status: this.#status, current: this.#current })
  }
}
