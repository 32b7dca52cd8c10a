/** Binary search in a filter: from the 32-bit number in the accumulator to what is to be done about it. */
import { EQUAL, GREATER_OR_EQUAL, type Label, type Program } from './program.js'

/** Numbers from `start` up to the next range, the last one up to 2^32 - 1. */
export interface Range {
  start: number
  label: Label
}

/** A range with a few numbers in it that differ: each costs one comparison where splitting would cost two. */
interface Stretch extends Range {
  exceptions: Range[]
}

/** They are tried one after the other. */
const EXCEPTIONS_MAX = 2

/** `ranges` are in order and start with 0. */
export function search(program: Program, ranges: readonly Range[]): Label {
  const stretches = join(ranges)
  const split = (from: number, to: number): Label => {
    if (to - from === 1) {
      const { label, exceptions } = stretches[from] as Stretch
      return exceptions.reduceRight((rest, { start, label }) => program.branch(EQUAL, start, label, rest), label)
    }
    const middle = (from + to) >> 1
    const above = split(middle, to)
    const below = split(from, middle)
    return program.branch(GREATER_OR_EQUAL, (stretches[middle] as Stretch).start, above, below)
  }
  return split(0, stretches.length)
}

function join(ranges: readonly Range[]): Stretch[] {
  const distinct = ranges.filter(({ label }, i) => label !== ranges[i - 1]?.label)
  const stretches: Stretch[] = []
  for (let i = 0; i < distinct.length; i++) {
    const range = distinct[i] as Range
    const last = stretches.at(-1)
    const next = distinct[i + 1]
    if (
      last &&
      last.exceptions.length < EXCEPTIONS_MAX &&
      next?.label === last.label &&
      next.start === range.start + 1
    ) {
      last.exceptions.push(range)
      i++
    } else stretches.push({ ...range, exceptions: [] })
  }
  return stretches
}
