/** Waiting that the caller can give up; what is waited for goes on. */
import { CaissonError } from '../errors.js'

export function aborted(signal: AbortSignal, what: string): CaissonError {
  return new CaissonError('ERR_CAISSON_ABORTED', `${what} was aborted`, {
    stage: what,
    hint: 'The signal that was given fired.',
    cause: signal.reason instanceof Error ? signal.reason : undefined,
  })
}

/** For the beginning of what takes a signal. */
export function checkAborted(signal: AbortSignal | undefined, what: string): void {
  if (signal?.aborted) throw aborted(signal, what)
}

export async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined, what: string): Promise<T> {
  if (!signal) return promise
  if (signal.aborted) throw aborted(signal, what)
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
