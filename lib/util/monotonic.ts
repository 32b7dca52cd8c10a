/** Milliseconds on a clock that nobody sets. What `performance` is for more than that takes Node half of one to load. */
export function monotonicMs(): number {
  const [seconds, nanoseconds] = process.hrtime()
  return seconds * 1e3 + nanoseconds / 1e6
}
