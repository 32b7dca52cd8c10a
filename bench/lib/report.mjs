// What the bench prints: one line for each measurement, with its bound.
import { median } from './measure.mjs'

const rows = []

const number = (value) => (value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2))

export function section(title) {
  console.log(`\n## ${title}`)
}

export function note(text) {
  console.log(text)
}

/** Ours against another's: both medians, their ratio, and whether it keeps its bound, where there is one. */
export function compare(what, ours, theirs, bound, unit = 'ms') {
  const [a, b] = [median(ours), median(theirs)]
  const kept = bound === undefined ? undefined : a / b <= bound
  line(
    what,
    `${number(a)} ${unit}`,
    `${number(b)} ${unit}`,
    a / b,
    kept === undefined ? 'reported' : `<= ${bound}`,
    kept,
  )
}

/** More is better. */
export function atLeast(what, ours, theirs, bound, unit) {
  line(
    what,
    `${number(ours)} ${unit}`,
    `${number(theirs)} ${unit}`,
    ours / theirs,
    `>= ${bound}`,
    ours / theirs >= bound,
  )
}

/** One figure with a bound of its own. */
export function figure(what, value, unit, bound) {
  const kept = bound === undefined ? undefined : value <= bound
  line(what, `${number(value)} ${unit}`, '', undefined, bound === undefined ? 'reported' : `<= ${bound} ${unit}`, kept)
}

function line(what, ours, theirs, ratio, bound, kept) {
  rows.push({ what, kept })
  const cells = [what.padEnd(58), ours.padStart(11), theirs.padStart(11), ratio === undefined ? '' : number(ratio)]
  console.log(
    `${cells[0]} ${cells[1]} ${cells[2]} ${cells[3].padStart(6)}   ${bound}${kept === false ? '   MISSED' : ''}`,
  )
}

export function summary() {
  const bounded = rows.filter((row) => row.kept !== undefined)
  const missed = bounded.filter((row) => !row.kept)
  console.log(`\n${bounded.length - missed.length} of ${bounded.length} bounds kept`)
  for (const row of missed) console.log(`missed: ${row.what}`)
}
