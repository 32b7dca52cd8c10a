/** One connection of a container and the one that was dialled for it, joined: each gets what the other says. */
import type { Socket } from 'node:net'
import { addon } from '../../native/addon.js'
import { deferred } from '../../util/deferred.js'

export interface Relay {
  /** Resolves when both are closed. */
  readonly done: Promise<void>
  /** Bytes so far, from the container and to it. */
  passed(): { sent: number; received: number }
  /** Nobody is left inside to hear an answer: what was said there is passed on, and that is the end. */
  drain(): void
  breakOff(): void
}

/**
 * Passes on what comes, each way as fast as the other side takes it; the end of one direction leaves the other open. A
 * side that breaks off has the other one broken off. Both must not have read anything yet; they are taken over.
 *
 * @param others connections that the container has open besides.
 */
export function join(inside: Socket, outside: Socket, others = 0): Relay {
  return passedByKernel(inside, outside, bufferOf(others)) ?? passedByNode(inside, outside)
}

/**
 * What waits for somebody who does not read lies in the kernel, ten megabytes and more of each connection, and in no
 * limit of the container. So only the first ones have all that the kernel gives; of the others it is less, and all
 * together are a bounded part of the machine's memory.
 */
const BUFFERS: ReadonlyArray<{ others: number; bytes: number }> = [
  { others: 128, bytes: 32 * 1024 },
  { others: 16, bytes: 256 * 1024 },
]

const bufferOf = (others: number): number => BUFFERS.find((each) => others >= each.others)?.bytes ?? 0

/**
 * Outside of this thread, and never through our memory. Not where descriptors are short; nor if Node should hide those of
 * sockets one day, which it has no documented name for.
 */
export function passedByKernel(inside: Socket, outside: Socket, buffer = 0): Relay | undefined {
  const fds = [inside, outside].map((socket) => (socket as { _handle?: { fd?: number } | null })._handle?.fd ?? -1)
  if (fds.some((fd) => fd < 0) || inside.bytesRead + outside.bytesRead > 0) return undefined
  const { network } = addon()
  const gone = deferred<void>()
  const passage = network.passOn(fds[0] as number, fds[1] as number, () => gone.resolve(), buffer)
  if (!passage) return undefined
  // The connections live on in the copies that it has made.
  for (const socket of [inside, outside]) socket.destroy()
  return {
    done: gone.promise,
    passed: () => {
      const [sent, received] = network.passed(passage)
      return { sent, received }
    },
    drain: () => network.drain(passage),
    breakOff: () => network.breakOff(passage),
  }
}

export function passedByNode(inside: Socket, outside: Socket): Relay {
  let drained = false
  const drain = () => {
    drained = true
    if (outside.writableFinished) outside.destroy()
  }
  outside.once('finish', () => drained && outside.destroy())
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
  return {
    done: both.then(() => undefined),
    passed: () => ({ sent: inside.bytesRead, received: outside.bytesRead }),
    drain,
    breakOff: () => void inside.resetAndDestroy(),
  }
}
