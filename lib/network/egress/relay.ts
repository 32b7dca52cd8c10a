/** One connection of a container and the one that was dialled for it, joined. */
import type { Socket } from 'node:net'

export interface Flow {
  sent(bytes: number): void
  received(bytes: number): void
}

/**
 * Passes on what comes, each way as fast as the other side takes it; the end of one direction leaves the other open. A
 * side that breaks off has the other one broken off. Resolves when both are closed.
 */
export function join(inside: Socket, outside: Socket, { sent, received }: Flow): Promise<void> {
  inside.on('data', ({ length }) => sent(length))
  outside.on('data', ({ length }) => received(length))
  inside.pipe(outside)
  outside.pipe(inside)
  const closed = (one: Socket, other: Socket) =>
    new Promise<void>((resolve) => {
      one.once('close', () => {
        // Both directions have ended, or it broke off: then what is under way is lost, as it is without us.
        if (!(one.readableEnded && one.writableFinished)) other.resetAndDestroy()
        resolve()
      })
    })
  const both = Promise.all([closed(inside, outside), closed(outside, inside)])
  if (inside.destroyed || outside.destroyed) for (const socket of [inside, outside]) socket.destroy()
  return both.then(() => undefined)
}
