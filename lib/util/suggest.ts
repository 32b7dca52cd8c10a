/** What somebody who misspelt a word may have meant. */

/** Words further away than this are other words. */
const FARTHEST = 2

/**
 * The option nearest to `word`, at most two edits away; undefined when there is none, or when the word is an option
 * itself, since then something else is wrong. With `anyCase` case does not count, and the answer takes the word's.
 */
export function nearest(word: string, options: Iterable<string>, anyCase = false): string | undefined {
  const wanted = anyCase ? word.toLowerCase() : word
  let best: string | undefined
  let least = FARTHEST + 1
  for (const option of options) {
    const candidate = anyCase ? option.toLowerCase() : option
    if (candidate === wanted) return undefined
    const distance = editDistance(wanted, candidate)
    if (distance < least) {
      best = candidate
      least = distance
    }
  }
  if (best === undefined || !anyCase) return best
  return word === word.toUpperCase() && word !== word.toLowerCase() ? best.toUpperCase() : best
}

/** ` (did you mean X?)` to put behind a message, or nothing. */
export const didYouMean = (suggestion: string | undefined) =>
  suggestion === undefined ? '' : ` (did you mean ${suggestion}?)`

/** Insertions, deletions and replacements; more than FARTHEST counts as that much and one. */
function editDistance(left: string, right: string): number {
  if (Math.abs(left.length - right.length) > FARTHEST) return FARTHEST + 1
  let previous = Array.from({ length: right.length + 1 }, (_, column) => column)
  for (let row = 1; row <= left.length; row++) {
    const current = [row]
    let least = row
    for (let column = 1; column <= right.length; column++) {
      const replaced = (previous[column - 1] as number) + (left[row - 1] === right[column - 1] ? 0 : 1)
      const edits = Math.min(replaced, (previous[column] as number) + 1, (current[column - 1] as number) + 1)
      current.push(edits)
      least = Math.min(least, edits)
    }
    if (least > FARTHEST) return FARTHEST + 1
    previous = current
  }
  return previous[right.length] as number
}
