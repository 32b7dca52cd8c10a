/** Modes of --chmod: octal, or symbolic as chmod(1) has them. */
import { fault } from './source.js'

const CLAUSE = /^([ugoa]*)((?:[-+=](?:[rwxXst]+|[ugo])?)+)$/
const HIGHEST = 0o7777

/**
 * A number, or a symbolic mode that `applyMode` takes.
 * @throws CaissonError ERR_CAISSON_DOCKERFILE
 */
export function parseMode(text: string): number | string {
  const octal = /^[0-7]+$/.test(text) ? Number.parseInt(text, 8) : Number.NaN
  if (octal <= HIGHEST) return octal
  // What begins with a digit was meant as a number.
  if (/^\d/.test(text))
    throw fault(`invalid chmod parameter: '${text}'. it should be octal string and between 0 and 07777`, 'Write 0644.')
  if (!text.split(',').every((clause) => CLAUSE.test(clause)))
    throw fault(
      `invalid chmod parameter: '${text}'`,
      'Write an octal mode such as 0644, or a symbolic one such as u=rwX,go=rX.',
    )
  return text
}

const BITS: Record<string, number> = { r: 0o4, w: 0o2, x: 0o1 }
const SHIFTS: Record<string, number> = { u: 6, g: 3, o: 0 }

/** The permission bits of a file after a mode of `parseMode` was applied to them. */
export function applyMode(mode: number | string, permissions: number, isDirectory: boolean): number {
  if (typeof mode === 'number') return mode
  let result = permissions & HIGHEST
  for (const clause of mode.split(',')) {
    const [, who = '', actions = ''] = CLAUSE.exec(clause) ?? []
    const classes = who === '' || who.includes('a') ? 'ugo' : who
    for (const [, operator, what = ''] of actions.matchAll(/([-+=])([rwxXst]+|[ugo])?/g)) {
      const bits = bitsOf(what, classes, result, isDirectory)
      if (operator === '+') result |= bits
      else if (operator === '-') result &= ~bits
      else result = (result & ~cleared(classes, isDirectory)) | bits
    }
  }
  return result
}

/** What `=` takes away first. A directory keeps its set-id bits, as with GNU chmod. */
function cleared(classes: string, isDirectory: boolean): number {
  let mask = 0
  for (const each of classes) mask |= 0o7 << (SHIFTS[each] as number)
  if (!isDirectory && classes.includes('u')) mask |= 0o4000
  if (!isDirectory && classes.includes('g')) mask |= 0o2000
  return classes === 'ugo' ? mask | 0o1000 : mask
}

function bitsOf(what: string, classes: string, current: number, isDirectory: boolean): number {
  let triple = 0
  let special = 0
  if (/^[ugo]$/.test(what)) triple = (current >> (SHIFTS[what] as number)) & 0o7
  else
    for (const letter of what) {
      if (letter === 's') special |= (classes.includes('u') ? 0o4000 : 0) | (classes.includes('g') ? 0o2000 : 0)
      else if (letter === 't') special |= 0o1000
      // X: execution only where it makes sense, for directories and for what somebody may execute already.
      else if (letter !== 'X') triple |= BITS[letter] as number
      else if (isDirectory || (current & 0o111) !== 0) triple |= 0o1
    }
  let bits = special
  for (const each of classes) bits |= triple << (SHIFTS[each] as number)
  return bits
}

/** `user`, `user:group`, or numbers. `root` is 0 whatever the root file system says, and so is nothing. */
export function parseOwner(text: string): { user: string | number; group?: string | number } {
  const [user = '', group] = text.split(/:(.*)/s, 2)
  return group === undefined ? { user: idOf(user) } : { user: idOf(user), group: idOf(group) }
}

const idOf = (name: string) => (name === 'root' || name === '' ? 0 : /^\d{1,10}$/.test(name) ? Number(name) : name)
