/** `caisson compose`: projects of compose files. */
import path from 'node:path'
import { compose } from '../index.js'
import type { Command } from './command.js'
import { downCommand, restartCommand, startCommand, stopCommand } from './compose-change.js'
import type { Subcommand } from './compose-command.js'
import { configCommand } from './compose-config.js'
import { execCommand } from './compose-exec.js'
import { buildCommand, pullCommand } from './compose-images.js'
import { psCommand } from './compose-ps.js'
import { logsCommand, upCommand } from './compose-up.js'
import { boolean, describeFlags, type Flags, list, parseFlags, parseMixedFlags, text } from './flags.js'
import { usageError } from './usage.js'

const COMMON = [
  list('env-file', 'Read variables from a file instead of .env', 'file'),
  list('file', 'The compose file; several go over each other', 'file', 'f'),
  list('profile', 'Also the services with this profile', 'name'),
  text('project-name', 'Name of the project', 'name', 'p'),
]

const SUBCOMMANDS: Record<string, Subcommand> = {
  up: upCommand,
  down: downCommand,
  ps: psCommand,
  logs: logsCommand,
  exec: execCommand,
  stop: stopCommand,
  start: startCommand,
  restart: restartCommand,
  pull: pullCommand,
  build: buildCommand,
  config: configCommand,
}
const WIDTH = Math.max(...Object.keys(SUBCOMMANDS).map((name) => name.length))

export const composeCommand: Command = {
  summary: 'Services of a compose file',
  flagsFirst: true,
  usage: 'compose [FLAGS] COMMAND',
  description: `Runs the services of a compose file (compose.yaml in this directory, unless --file names another). They live as long as
"up" does; "caisson compose COMMAND --help" says more of a command.

Commands:
${Object.entries(SUBCOMMANDS)
  .map(([name, { summary }]) => `  ${name.padEnd(WIDTH)}   ${summary}`)
  .join('\n')}`,
  flags: COMMON,
  exits: 'Exits with 0, with 1 when it failed, with the code of a service for --exit-code-from, and of exec as run.',

  async run(flags, [name, ...words]) {
    const command = name !== undefined && Object.hasOwn(SUBCOMMANDS, name) ? SUBCOMMANDS[name] : undefined
    if (!command)
      throw usageError(
        name === undefined ? 'compose: there is no command' : `compose: there is no command ${JSON.stringify(name)}`,
        `There are ${Object.keys(SUBCOMMANDS).join(', ')}.`,
      )
    const help = boolean('help', 'Print this')
    const parse = command.flagsFirst ? parseFlags : parseMixedFlags
    const { flags: own, rest } = parse([...command.flags, help], words)
    if (own.boolean('help')) {
      process.stdout.write(
        `Usage: caisson compose ${command.usage}\n\n${command.summary}.\n\nFlags:\n${describeFlags([...command.flags, help])}\n`,
      )
      return 0
    }
    const project = await compose(fileOf(flags), {
      projectName: flags.text('project-name'),
      profiles: flags.list('profile'),
      envFiles: flags.list('env-file'),
    })
    return command.run(project, own, rest)
  },
}

function fileOf(flags: Flags): string | string[] {
  const given =
    flags.list('file') ?? process.env.COMPOSE_FILE?.split(process.env.COMPOSE_PATH_SEPARATOR ?? path.delimiter)
  return given ?? '.'
}
