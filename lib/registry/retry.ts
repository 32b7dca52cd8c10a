/** Trying again: a bounded number of times, later each time, and not all at once. */
import { setTimeout as sleep } from 'node:timers/promises'
import { abortedError, isTransient, type RegistryError, throwIfAborted } from './failure.js'

export interface RetryOptions {
  /** Attempts in all. */
  attempts: number
  /** Milliseconds before the second attempt; doubled each time. */
  delay: number
  /** Milliseconds that are never exceeded, but by what a server asks for. */
  longest: number
}

export const RETRY: RetryOptions = { attempts: 5, delay: 250, longest: 10_000 }

/** Does `work` until it succeeds, or fails for good. */
export async function retrying<T>(work: () => Promise<T>, options: RetryOptions, signal?: AbortSignal): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    throwIfAborted(signal)
    try {
      return await work()
    } catch (error) {
      if (!isTransient(error) || attempt >= options.attempts) throw error
      await pause(attempt, options, error, signal)
    }
  }
}

/** Waits before attempt `attempt + 1`: between half and all of the time, so that many clients do not come together. */
export async function pause(
  attempt: number,
  { delay, longest }: RetryOptions,
  error: unknown,
  signal?: AbortSignal,
): Promise<void> {
  const asked = (error as Partial<RegistryError>).retryAfter ?? 0
  const own = Math.min(delay * 2 ** (attempt - 1), longest) * (0.5 + Math.random() / 2)
  try {
    await sleep(Math.max(asked, own), undefined, { signal })
  } catch {
    throw abortedError()
  }
}
