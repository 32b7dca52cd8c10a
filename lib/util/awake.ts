/** The event loop, kept alive. */

const LONG = 2 ** 30

/** Waits for something that does not keep the event loop alive by itself: a process in the background. */
export async function awake<T>(promise: Promise<T>): Promise<T> {
  const timer = setInterval(() => undefined, LONG)
  try {
    return await promise
  } finally {
    clearInterval(timer)
  }
}
