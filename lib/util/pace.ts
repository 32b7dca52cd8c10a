/** Work that is begun many times at once, spread so that the event loop goes on meanwhile. */
import { monotonicMs } from './monotonic.js'

/** Milliseconds of one turn of the event loop that may go to it. */
const BUDGET = 1

let began: number | undefined
const waiting: Array<() => void> = []

/** To be awaited before a piece of work; undefined when it may go on at once. First come, first served. */
export function pace(): Promise<void> | undefined {
  if (began === undefined) {
    began = monotonicMs()
    setImmediate(next)
    return undefined
  }
  if (waiting.length === 0 && monotonicMs() - began < BUDGET) return undefined
  return new Promise((resolve) => waiting.push(resolve))
}

/** One a turn: what it does runs before the next turn, so its time is not known here. */
function next(): void {
  const resolve = waiting.shift()
  if (!resolve) {
    began = undefined
    return
  }
  setImmediate(next)
  resolve()
}
