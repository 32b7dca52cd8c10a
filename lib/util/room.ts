/** Waiting for who reads slowly. */
import type { Writable } from 'node:stream'

/** Resolves when a stream that is full takes more, or is gone; and leaves no listener, however often it is asked. */
export function roomIn(output: Pick<Writable, 'destroyed' | 'writableNeedDrain' | 'on' | 'off'>): Promise<void> {
  // Of one that is gone nothing would be told any more.
  if (output.destroyed || !output.writableNeedDrain) return Promise.resolve()
  return new Promise((resolve) => {
    const settle = () => {
      output.off('drain', settle).off('close', settle)
      resolve()
    }
    output.on('drain', settle).on('close', settle)
  })
}
