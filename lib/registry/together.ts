/** Several things at once, as one: the first failure stops the others, and is told when all have ended. */
import PQueue from 'p-queue'
import { throwIfAborted } from './failure.js'

export async function together<Item>(
  items: readonly Item[],
  concurrency: number,
  signal: AbortSignal | undefined,
  work: (item: Item, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const failed = new AbortController()
  const either = signal ? AbortSignal.any([signal, failed.signal]) : failed.signal
  const queue = new PQueue({ concurrency })
  let first: { error: unknown } | undefined
  await queue.addAll(
    items.map((item) => async () => {
      // The others fail because of the first one: what they say is of no interest.
      if (first) return
      try {
        throwIfAborted(either)
        await work(item, either)
      } catch (error) {
        first ??= { error }
        failed.abort()
      }
    }),
  )
  if (first) throw first.error
}
