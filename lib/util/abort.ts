/** Waiting that the caller can give up; what is waited for goes on. */
import { CaissonError, invalidArgument } from '../errors.js'

/** What every call takes that gives a promise. */
export interface Abortable {
  /** Fired before the call: nothing is done. Fired later: nobody waits for the rest. */
  signal?: AbortSignal
}

export function aborted(signal: AbortSignal, what: string): CaissonError {
  return new CaissonError('ERR_CAISSON_ABORTED', `${what} was aborted`, {
    stage: what,
    hint: 'The signal that was given fired.',
    cause: signal.reason instanceof Error ? signal.reason : undefined,
  })
}

/** For the beginning of what takes a signal. */
export function checkAborted(signal: AbortSignal | undefined, what: string): void {
  if (signal === undefined) return
  if (typeof signal?.aborted !== 'boolean' || typeof signal.addEventListener !== 'function')
    throw invalidArgument('signal', signal, 'an AbortSignal')
  if (signal.aborted) throw aborted(signal, what)
}

/** For work that may take its time, and does no harm when it goes on. */
export async function abortable<T>(signal: AbortSignal | undefined, what: string, work: () => Promise<T>): Promise<T> {
  checkAborted(signal, what)
  return unlessAborted(work(), signal, what)
}

export async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined, what: string): Promise<T> {
  if (!signal) return promise
  // Nobody may be left to hear how it fails.
  promise.catch(() => undefined)
  checkAborted(signal, what)
  let giveUp!: () => void
  const given = new Promise<never>((_, reject) => {
    giveUp = () => reject(aborted(signal, what))
  })
  signal.addEventListener('abort', giveUp, { once: true })
  try {
    return await Promise.race([promise, given])
  } finally {
    signal.removeEventListener('abort', giveUp)
  }
}
