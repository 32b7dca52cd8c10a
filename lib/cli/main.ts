/** The command line: finds the command, prints errors, sets the exit code. */
import { debuglog } from 'node:util'
import { CaissonError } from '../errors.js'
import { version } from '../util/version.js'
import type { Command } from './command.js'
import { describeFlags, type Flag, parseFlags, parseMixedFlags } from './flags.js'
import { harmless } from './harmless.js'
import { usageError } from './usage.js'

/** Each is loaded when it is called: what others need takes its time. */
const COMMANDS: Record<string, () => Promise<Command>> = {
  run: async () => (await import('./run.js')).runCommand,
  build: async () => (await import('./build.js')).buildCommand,
  builder: async () => (await import('./builder.js')).builderCommand,
  compose: async () => (await import('./compose.js')).composeCommand,
  pull: async () => (await import('./pull.js')).pullCommand,
  push: async () => (await import('./pull.js')).pushCommand,
  images: async () => (await import('./images.js')).imagesCommand,
  tag: async () => (await import('./images.js')).tagCommand,
  rmi: async () => (await import('./images.js')).rmiCommand,
  save: async () => (await import('./images.js')).saveCommand,
  load: async () => (await import('./images.js')).loadCommand,
  history: async () => (await import('./inspect.js')).historyCommand,
  inspect: async () => (await import('./inspect.js')).inspectCommand,
  prune: async () => (await import('./images.js')).pruneCommand,
  df: async () => (await import('./df.js')).dfCommand,
  login: async () => (await import('./login.js')).loginCommand,
  logout: async () => (await import('./login.js')).logoutCommand,
  ps: async () => (await import('./ps.js')).psCommand,
  network: async () => (await import('./network.js')).networkCommand,
  volume: async () => (await import('./volume.js')).volumeCommand,
  serve: async () => (await import('./serve.js')).serveCommand,
  doctor: async () => (await import('./doctor.js')).doctorCommand,
}

async function overview(): Promise<string> {
  const width = Math.max(...Object.keys(COMMANDS).map((name) => name.length))
  const commands: string[] = []
  for (const [name, load] of Object.entries(COMMANDS))
    commands.push(`  ${name.padEnd(width)}   ${(await load()).summary}`)
  return `Usage: caisson COMMAND

Containers without a daemon.

Commands:
${commands.join('\n')}

"caisson COMMAND --help" says more of a command; "caisson --version" prints the version.`
}

async function main(args: readonly string[]): Promise<number> {
  const [name, ...rest] = ofImages(args)
  if (name === undefined || name === '--help' || name === 'help') return print(await overview())
  if (name === '--version' || name === '-v' || name === 'version') return print(version())
  const load = Object.hasOwn(COMMANDS, name) ? COMMANDS[name] : undefined
  if (!load) throw usageError(`there is no command ${JSON.stringify(name)}`, 'See caisson --help.')
  const command = await load()
  const table = [...command.flags, HELP]
  const { flags, rest: words } = command.flagsFirst
    ? parseFlags(table, rest, command.refused)
    : parseMixedFlags(table, rest)
  return flags.boolean('help') ? print(helpOf(command)) : command.run(flags, words)
}

const OF_IMAGES: Record<string, string> = { ls: 'images', list: 'images', rm: 'rmi', remove: 'rmi' }
for (const name of ['build', 'history', 'inspect', 'load', 'prune', 'pull', 'push', 'save', 'tag'])
  OF_IMAGES[name] = name

/** `caisson image ls` and the like, as docker's longer names. */
function ofImages(args: readonly string[]): readonly string[] {
  const [name, sub = '', ...rest] = args
  return name === 'image' && Object.hasOwn(OF_IMAGES, sub) ? [OF_IMAGES[sub] as string, ...rest] : args
}

/** Of `caisson run`, whose program may end with any other code: as docker run. */
const RUN_ERROR = 125

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
  // Errors quote what programs printed, and what servers answered.
  process.stderr.write(harmless(`caisson: ${error.message}\n${hint ? `hint: ${hint}\n` : ''}`))
  if (debug.enabled) process.stderr.write(`${error.stack}\n`)
}

// When nothing is left to do: to tidy its memory up first would take this process milliseconds.
process.once('beforeExit', () => process.exit())

main(process.argv.slice(2)).then(
  (code) => {
    process.exitCode = code
  },
  (error: Error) => {
    complain(error)
    process.exitCode = process.argv[2] === 'run' ? RUN_ERROR : 1
  },
)
