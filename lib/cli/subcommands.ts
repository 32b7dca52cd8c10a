/** Commands of commands, as `caisson network ls`. */
import type { ErrorCode } from '../errors.js'
import type { Command } from './command.js'
import { describeFlags, type Flag, parseMixedFlags } from './flags.js'
import { harmlessJson } from './harmless.js'
import { EXITS, FORCE, forEachName } from './listing.js'
import { usageError } from './usage.js'

const HELP: Flag = { name: 'help', kind: 'boolean', help: 'Print this' }

/** @param aliases other names of subcommands */
export function commandOf(
  name: string,
  summary: string,
  subcommands: Record<string, Command>,
  aliases: Record<string, string> = {},
): Command {
  const width = Math.max(...Object.keys(subcommands).map((each) => each.length))
  const list = Object.entries(subcommands).map(([each, command]) => `  ${each.padEnd(width)}   ${command.summary}`)
  return {
    summary,
    usage: `${name} COMMAND`,
    description: `${summary}.\n\nCommands:\n${list.join('\n')}\n\n"caisson ${name} COMMAND --help" says more of a command.`,
    flags: [],
    flagsFirst: true,
    exits: 'Exits with 0, or with 1 when it failed.',

    async run(_flags, [word = '', ...args]) {
      const sub = aliases[word] ?? word
      const command = Object.hasOwn(subcommands, sub) ? subcommands[sub] : undefined
      if (!command)
        throw usageError(
          word === '' ? `${name}: a command is missing` : `${name}: there is no command ${JSON.stringify(word)}`,
          `There are: ${Object.keys(subcommands).join(', ')}.`,
        )
      const { flags, rest } = parseMixedFlags([...command.flags, HELP], args)
      if (!flags.boolean('help')) return command.run(flags, rest)
      const { usage, description, exits } = command
      const lines = describeFlags([...command.flags, HELP])
      process.stdout.write(`Usage: caisson ${name} ${usage}\n\n${description}\n\nFlags:\n${lines}\n\n${exits}\n`)
      return 0
    },
  }
}

/** Of a command that takes none. */
export function noWords(rest: readonly string[], command: string): void {
  if (rest.length > 0) throw usageError(`${command}: ${rest[0]} is too much`, `See caisson ${command} --help.`)
}

/** Of a command that takes at least one. */
export function someWords(rest: readonly string[], command: string): readonly string[] {
  if (rest.length > 0) return rest
  throw usageError(`${command}: there is no name`, `See caisson ${command} --help.`)
}

/** Things that stay until they are removed, and have names. */
export interface Kept {
  /** What they are called, as `network`. */
  kind: string
  get(name: string): Promise<{ inspect(): object | Promise<object>; remove(): Promise<unknown> }>
  /** Of `get`, where there is none of the name. */
  notFound: ErrorCode
  /** What `rm` says of itself. */
  removal: Pick<Command, 'summary' | 'description'>
}

/** The commands `inspect` and `rm` of what has names. */
export function commandsOfKept({ kind, get, notFound, removal }: Kept): { inspect: Command; rm: Command } {
  const names = `${kind.toUpperCase()}...`
  return {
    inspect: {
      summary: `Print all that is known of ${kind}s`,
      usage: `inspect ${names}`,
      description: 'Prints a JSON array with what is known of each.',
      flags: [],
      exits: EXITS,

      async run(_flags, rest) {
        const found: object[] = []
        for (const name of someWords(rest, `${kind} inspect`)) found.push(await (await get(name)).inspect())
        process.stdout.write(`${harmlessJson(found, 2)}\n`)
        return 0
      },
    },
    rm: {
      ...removal,
      usage: `rm [FLAGS] ${names}`,
      flags: [{ ...FORCE, help: 'Ones that are not there are no error' }],
      exits: EXITS,

      run: (flags, rest) =>
        forEachName(someWords(rest, `${kind} rm`), async (name) => {
          const found = await get(name).catch((error) => {
            if (flags.boolean('force') && error.code === notFound) return undefined
            throw error
          })
          await found?.remove()
        }),
    },
  }
}
