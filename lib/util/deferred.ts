/** A promise with its handles outside; Promise.withResolvers is not in Node 20. */
export interface Deferred<T> {
  promise: Promise<T>
  resolve(value: T): void
  reject(reason: unknown): void
  settled: boolean
}

export function deferred<T>(): Deferred<T> {
  let resolve!: (value: T) => void
  let reject!: (reason: unknown) => void
  const promise = new Promise<T>((a, b) => {
    resolve = a
    reject = b
  })
  // Whether anybody waits for it is not its maker's business.
  promise.catch(() => undefined)
  const result: Deferred<T> = {
    promise,
    settled: false,
    resolve(value) {
      result.settled = true
      resolve(value)
    },
    reject(reason) {
      result.settled = true
      reject(reason)
    },
  }
  return result
}
