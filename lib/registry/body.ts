/** Bodies of answers: read with a bound on their length, on silence and on slowness. */
import type { IncomingMessage } from 'node:http'
import { abortedError, networkError, protocolError, timeoutError } from './failure.js'

export interface BodyTimeouts {
  /** Milliseconds without a byte. */
  idle: number
  /** Bytes a second, on average over `rateWindow` milliseconds, that a server must manage while we wait for it. */
  minimumRate: number
  rateWindow: number
}

/** What is read to keep a connection for the next request; more is cheaper to cut off. */
const DISCARD_MAX = 64 * 1024

export class Body {
  readonly #message: IncomingMessage
  readonly #url: URL
  readonly #timeouts: BodyTimeouts
  readonly #signal: AbortSignal | undefined

  constructor(message: IncomingMessage, url: URL, timeouts: BodyTimeouts, signal?: AbortSignal) {
    this.#message = message
    this.#url = url
    this.#timeouts = timeouts
    this.#signal = signal
    // Whoever reads gets the error from its iterator; a body that nobody reads any more must not end the process.
    message.on('error', () => undefined)
  }

  /** Cut off when it is left before its end. Only the time that we wait for the server counts. */
  async *chunks(): AsyncGenerator<Buffer, void, undefined> {
    const message = this.#message
    let error: Error | undefined
    const stop = (reason: Error) => {
      error ??= reason
      message.destroy(reason)
    }
    const { idle, minimumRate, rateWindow } = this.#timeouts
    const timer = setTimeout(() => stop(timeoutError(this.#url, `no data for ${idle} ms`)), idle)
    const onAbort = () => stop(abortedError())
    this.#signal?.addEventListener('abort', onAbort, { once: true })
    if (this.#signal?.aborted) onAbort()
    const iterator = message[Symbol.asyncIterator]() as AsyncIterator<Buffer>
    let waited = 0
    let bytes = 0
    try {
      for (;;) {
        timer.refresh()
        const asked = performance.now()
        const next = await iterator.next()
        if (error) throw error
        if (next.done) return
        waited += performance.now() - asked
        bytes += next.value.length
        if (waited > rateWindow) {
          if (bytes < (minimumRate * waited) / 1000)
            throw timeoutError(this.#url, `${bytes} bytes in ${Math.round(waited)} ms`)
          waited = 0
          bytes = 0
        }
        yield next.value
      }
    } catch (cause) {
      throw error ?? networkError(this.#url, cause)
    } finally {
      clearTimeout(timer)
      this.#signal?.removeEventListener('abort', onAbort)
      if (!message.complete || !message.readableEnded) message.destroy()
    }
  }

  /** All of it; an error when it is longer than `max`. `within`: milliseconds for the whole. */
  async bytes(max: number, what: string, within = this.#timeouts.rateWindow): Promise<Buffer> {
    const length = Number(this.#message.headers['content-length'])
    if (length > max) {
      this.#message.destroy()
      throw protocolError(this.#url, `${what} has ${length} bytes, more than ${max}`)
    }
    const parts: Buffer[] = []
    let size = 0
    const late = setTimeout(
      () => this.#message.destroy(timeoutError(this.#url, `${what} takes longer than ${within} ms`)),
      within,
    )
    try {
      for await (const chunk of this.chunks()) {
        size += chunk.length
        if (size > max) throw protocolError(this.#url, `${what} has more than ${max} bytes`)
        parts.push(chunk)
      }
    } finally {
      clearTimeout(late)
    }
    return Buffer.concat(parts, size)
  }

  /** The beginning as text, for errors; never fails. */
  async beginning(max: number): Promise<string> {
    const parts: Buffer[] = []
    let size = 0
    try {
      for await (const chunk of this.chunks()) {
        parts.push(chunk)
        size += chunk.length
        if (size >= max) break
      }
    } catch {
      // What there is, is what can be told.
    }
    return Buffer.concat(parts).subarray(0, max).toString('utf8')
  }

  /** Reads the rest, if it is short, so that the connection can be used again. Never fails. */
  async discard(): Promise<void> {
    await this.beginning(DISCARD_MAX)
  }

  /** Cuts the connection. */
  destroy(): void {
    this.#message.destroy()
  }
}
