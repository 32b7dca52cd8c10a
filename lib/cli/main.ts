#!/usr/bin/env node
/** The command line: finds the command, prints errors, sets the exit code. */
import { debuglog } from 'node:util'
import { CaissonError } from '../index.js'
import { buildCommand } from './build.js'
import type { Command } from './command.js'
import { doctorCommand } from './doctor.js'
import { describeFlags, type Flag, parseFlags } from './flags.js'
import { imagesCommand, loadCommand, rmiCommand, saveCommand, tagCommand } from './images.js'
import { pullCommand, pushCommand } from './pull.js'
import { OWN_ERROR, runCommand } from './run.js'
import { usageError } from './usage.js'
import { version } from './version.js'

const COMMANDS: Record<string, Command> = {
  run: runCommand,
  build: buildCommand,
  pull: pullCommand,
  push: pushCommand,
  images: imagesCommand,
  tag: tagCommand,
  rmi: rmiCommand,
  save: saveCommand,
  load: loadCommand,
  doctor: doctorCommand,
}

function overview(): string {
  const width = Math.max(...Object.keys(COMMANDS).map((name) => name.length))
  const commands = Object.entries(COMMANDS).map(([name, { summary }]) => `  ${name.padEnd(width)}   ${summary}`)
  return `Usage: caisson COMMAND

Containers without a daemon.

Commands:
${commands.join('\n')}

"caisson COMMAND --help" says more of a command; "caisson --version" prints the version.`
}

async function main(args: readonly string[]): Promise<number> {
  const [name, ...rest] = args
  if (name === undefined || name === '--help' || name === 'help') return print(overview())
  if (name === '--version' || name === 'version') return print(version())
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined
  if (!command) throw usageError(`there is no command ${JSON.stringify(name)}`, 'See caisson --help.')
  const { flags, rest: words } = parseFlags([...command.flags, HELP], rest)
  return flags.boolean('help') ? print(helpOf(command)) : command.run(flags, words)
}

const HELP: Flag = { name: 'help', kind: 'boolean', help: 'Print this' }

function helpOf({ usage, description, flags, exits }: Command): string {
  return `Usage: caisson ${usage}\n\n${description}\n\nFlags:\n${describeFlags([...flags, HELP])}\n\n${exits}`
}

function print(text: string): number {
  process.stdout.write(`${text}\n`)
  return 0
}

function complain(error: Error): void {
  const debug = debuglog('caisson')
  const hint = error instanceof CaissonError ? error.hint : ''
  process.stderr.write(`caisson: ${error.message}\n${hint ? `hint: ${hint}\n` : ''}`)
  if (debug.enabled) process.stderr.write(`${error.stack}\n`)
}

main(process.argv.slice(2)).then(
  (code) => {
    process.exitCode = code
  },
  (error: Error) => {
    complain(error)
    process.exitCode = process.argv[2] === 'run' ? OWN_ERROR : 1
  },
)
