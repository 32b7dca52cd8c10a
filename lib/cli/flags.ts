/** Flags as docker takes them: up to the first word that is none; `-it`, `-m64m`, `--env A=1`, `--init=false`. */
import { parseArgs } from 'node:util'
import { usageError } from './usage.js'

export interface Flag {
  name: string
  short?: string
  /** list: may be given again and again. */
  kind: 'boolean' | 'text' | 'list'
  /** What its value is called in the help text. */
  value?: string
  help: string
  /** Another name for the same. */
  alias?: string
}

export const text = (name: string, help: string, value?: string, short?: string): Flag => ({
  name,
  kind: 'text',
  help,
  value,
  short,
})
export const list = (name: string, help: string, value?: string, short?: string): Flag => ({
  name,
  kind: 'list',
  help,
  value,
  short,
})
export const boolean = (name: string, help: string, short?: string): Flag => ({ name, kind: 'boolean', help, short })

export class Flags {
  readonly #values = new Map<string, string[]>()

  add(name: string, value: string): void {
    const list = this.#values.get(name)
    if (list) list.push(value)
    else this.#values.set(name, [value])
  }

  /** Of a text the last one counts. */
  text(name: string): string | undefined {
    return this.#values.get(name)?.at(-1)
  }

  list(name: string): string[] | undefined {
    return this.#values.get(name)
  }

  boolean(name: string): boolean | undefined {
    const value = this.text(name)
    return value === undefined ? undefined : value === 'true'
  }
}

/** As docker for commands without a program: flags may also follow words; `--` ends them. */
export function parseMixedFlags(table: readonly Flag[], args: readonly string[]): { flags: Flags; rest: string[] } {
  const all = new Flags()
  const words: string[] = []
  let left: readonly string[] = args
  for (;;) {
    const { flags, rest } = parseFlags(table, left)
    for (const { name } of table) for (const value of flags.list(name) ?? []) all.add(name, value)
    const ended = left[left.length - rest.length - 1] === '--'
    const [word, ...more] = rest
    if (word === undefined || ended) return { flags: all, rest: [...words, ...rest] }
    words.push(word)
    left = more
  }
}

/**
 * What follows the flags is `rest`, whatever it looks like: it belongs to the program in the container. `refused`: flags
 * of docker's that are not there, with what to do instead.
 */
export function parseFlags(
  table: readonly Flag[],
  args: readonly string[],
  refused: Readonly<Record<string, string>> = {},
): { flags: Flags; rest: string[] } {
  const byName = new Map<string, Flag>()
  for (const flag of table) for (const name of [flag.name, flag.alias]) if (name) byName.set(name, flag)
  const options = Object.fromEntries(
    [...byName].map(([name, flag]) => [
      name,
      {
        type: flag.kind === 'boolean' ? ('boolean' as const) : ('string' as const),
        multiple: true,
        ...(flag.short && name === flag.name ? { short: flag.short } : {}),
      },
    ]),
  )
  const { tokens } = parseArgs({ args: [...args], options, strict: false, tokens: true, allowPositionals: true })
  const flags = new Flags()
  for (const token of tokens) {
    if (token.kind === 'positional') return { flags, rest: args.slice(token.index) }
    if (token.kind === 'option-terminator') return { flags, rest: args.slice(token.index + 1) }
    const flag = byName.get(token.name)
    if (!flag) throw unknownFlag(token, refused)
    flags.add(flag.name, flag.kind === 'boolean' ? booleanOf(token) : textOf(token))
  }
  return { flags, rest: [] }
}

function unknownFlag({ name, rawName }: { name: string; rawName: string }, refused: Readonly<Record<string, string>>) {
  if (Object.hasOwn(refused, name)) return usageError(`${rawName} is not there`, refused[name] as string)
  return usageError(`unknown flag: ${rawName}`, 'See --help for the flags that there are.')
}

interface OptionToken {
  rawName: string
  value?: string | undefined
  inlineValue?: boolean | undefined
}

/** After a short name the value may come with or without `=`: `-m64m`, `-m=64m`. */
function textOf({ rawName, value, inlineValue }: OptionToken): string {
  if (value !== undefined) return inlineValue && !rawName.startsWith('--') ? value.replace(/^=/, '') : value
  throw usageError(`flag needs a value: ${rawName}`, `Write ${rawName} VALUE.`)
}

const TRUE = new Set(['1', 't', 'true'])
const FALSE = new Set(['0', 'f', 'false'])

function booleanOf({ rawName, value = 'true' }: OptionToken): string {
  return String(parseBoolean(value, rawName))
}

/** As docker does: `1`, `t`, `true` and their opposites, in any case. */
export function parseBoolean(text: string, what: string): boolean {
  const lower = text.toLowerCase()
  if (TRUE.has(lower)) return true
  if (FALSE.has(lower)) return false
  throw usageError(`${what}: ${JSON.stringify(text)} is neither true nor false`, `Write ${what}=true or ${what}=false.`)
}

/** One line for each flag, as in docker's help. */
export function describeFlags(table: readonly Flag[]): string {
  const lines = table.map(({ name, short, value, kind, help }): [string, string] => {
    const names = `${short ? `-${short}, ` : '    '}--${name}`
    return [kind === 'boolean' ? names : `${names} ${value ?? (kind === 'list' ? 'list' : 'string')}`, help]
  })
  const width = Math.max(...lines.map(([left]) => left.length))
  return lines.map(([left, right]) => `  ${left.padEnd(width)}   ${right}`).join('\n')
}
