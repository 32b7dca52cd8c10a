/**
 * Variables in values, by the rules of the compose specification: `$NAME`, `${NAME}`, `${NAME:-other}`, `${NAME-other}`,
 * `${NAME:?message}`, `${NAME?message}`, `${NAME:+other}`, `${NAME+other}`, with variables in `other` too; `$$` is a `$`.
 */

export interface Variables {
  lookup(name: string): string | undefined
  /** One that is not set, and for which nothing else is given. */
  missing?(name: string): void
}

/** What is wrong with a text; whoever knows the place says where. */
export class VariableFault extends Error {
  readonly hint: string

  constructor(message: string, hint: string) {
    super(message)
    this.hint = hint
  }
}

const NAME = /^[A-Za-z_][A-Za-z0-9_]*/
const OPERATOR = /^(:?[-?+])/
/** Of `${A:-${B:-...}}`. */
const DEEPEST = 32
/** Characters of a value: each line of a file may say twice what the one above does. */
const LONGEST = 4 * 1024 * 1024

/** @throws VariableFault */
export function interpolate(text: string, variables: Variables): string {
  if (!text.includes('$')) return text
  return expand(text, 0, variables, 0, true).text
}

interface Expanded {
  text: string
  /** Where the reading ended: at the closing brace, for what is in braces. */
  end: number
}

/** `wanted`: variables are looked up; what is left aside must only be well-formed. */
function expand(text: string, start: number, variables: Variables, depth: number, wanted: boolean): Expanded {
  if (depth > DEEPEST) throw new VariableFault('variables are nested too deeply', `At most ${DEEPEST} levels are read.`)
  let made = ''
  let at = start
  while (at < text.length) {
    if (made.length > LONGEST)
      throw new VariableFault('the value is too long with its variables', `At most ${LONGEST} characters are made.`)
    const dollar = text[at]
    if (depth > 0 && dollar === '}') return { text: made, end: at }
    if (dollar !== '$') {
      made += dollar
      at++
      continue
    }
    const next = text[at + 1]
    if (next === '$') {
      made += '$'
      at += 2
    } else if (next === '{') {
      const { text: value, end } = braced(text, at, variables, depth, wanted)
      made += value
      at = end
    } else {
      const [name] = NAME.exec(text.slice(at + 1)) ?? []
      if (name === undefined) throw wrong(text.slice(at, at + 20))
      if (wanted) made += plain(name, variables)
      at += 1 + name.length
    }
  }
  if (depth > 0) throw wrong(text.slice(start - 2, start + 20))
  return { text: made, end: at }
}

/** From `${` to behind its `}`. */
function braced(text: string, dollar: number, variables: Variables, depth: number, wanted: boolean): Expanded {
  const [name] = NAME.exec(text.slice(dollar + 2)) ?? []
  if (name === undefined) throw wrong(text.slice(dollar, dollar + 20))
  let at = dollar + 2 + name.length
  if (text[at] === '}') return { text: wanted ? plain(name, variables) : '', end: at + 1 }
  const [operator] = OPERATOR.exec(text.slice(at)) ?? []
  if (operator === undefined) throw wrong(text.slice(dollar, at + 10))
  at += operator.length
  const value = variables.lookup(name)
  const there = operator.startsWith(':') ? value !== undefined && value !== '' : value !== undefined
  const kind = operator.at(-1)
  const other = expand(text, at, variables, depth + 1, wanted && there === (kind === '+'))
  const end = other.end + 1
  if (!wanted) return { text: '', end }
  if (kind === '+') return { text: there ? other.text : '', end }
  if (there) return { text: value as string, end }
  if (kind === '-') return { text: other.text, end }
  throw new VariableFault(
    `the variable ${name} is ${value === undefined ? 'not set' : 'empty'}${other.text ? `: ${other.text}` : ''}`,
    `Set ${name} in the environment or in .env.`,
  )
}

function plain(name: string, variables: Variables): string {
  const value = variables.lookup(name)
  if (value === undefined) variables.missing?.(name)
  return value ?? ''
}

function wrong(text: string): VariableFault {
  return new VariableFault(
    `${JSON.stringify(text)} is no variable`,
    'Write $NAME or ${NAME}, with :-, -, :?, ?, :+ or + behind the name, or $$ for a $.',
  )
}
