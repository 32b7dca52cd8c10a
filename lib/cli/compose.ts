/** `caisson compose`: projects of compose files. */
import path from 'node:path'
import { CaissonError, compose, type Project, type ProjectContainer } from '../index.js'
import { buildProgress } from './build-progress.js'
import type { Command } from './command.js'
import { LogPrinter } from './compose-log.js'
import { boolean, describeFlags, type Flag, type Flags, list, parseMixedFlags, text } from './flags.js'
import { table } from './table.js'
import { usageError } from './usage.js'
import { parseNumber } from './values.js'

const COMMON = [
  list('env-file', 'Read variables from a file instead of .env', 'file'),
  list('file', 'The compose file; several go over each other', 'file', 'f'),
  list('profile', 'Also the services with this profile', 'name'),
  text('project-name', 'Name of the project', 'name', 'p'),
]
const PRINTING = [
  boolean('no-color', 'Print no colours'),
  boolean('no-log-prefix', 'Print lines without the name of their container'),
  boolean('timestamps', 'Print the time of each line', 't'),
]

interface Subcommand {
  summary: string
  usage: string
  flags: readonly Flag[]
  run(project: Project, flags: Flags, services: readonly string[]): Promise<number>
}

const SUBCOMMANDS: Record<string, Subcommand> = {
  up: {
    summary: 'Start services, and print what they print until they end',
    usage: 'up [FLAGS] [SERVICE...]',
    flags: [
      boolean('abort-on-container-exit', 'End all when one ends'),
      boolean('build', 'Build images anew'),
      boolean('detach', 'Not there: containers end with this process', 'd'),
      text('exit-code-from', 'Exit as this service does; ends all when it ends', 'service'),
      list('scale', 'Number of containers (service=number)', 'service=number'),
      text('timeout', 'Seconds until containers are killed at the end', 'seconds'),
      ...PRINTING,
    ],
    run: up,
  },
  down: {
    summary: 'Stop and remove containers and networks, in whichever process they are',
    usage: 'down [FLAGS]',
    flags: [
      text('timeout', 'Seconds until containers are killed', 'seconds', 't'),
      boolean('volumes', 'Remove named volumes, too', 'v'),
    ],
    async run(project, flags) {
      await project.down({ volumes: flags.boolean('volumes'), timeout: seconds(flags) })
      return 0
    },
  },
  ps: {
    summary: 'List containers',
    usage: 'ps [FLAGS] [SERVICE...]',
    flags: [
      boolean('all', 'Those that have ended, too', 'a'),
      boolean('json', 'Print a line of JSON for each'),
      boolean('quiet', 'Print ids alone', 'q'),
    ],
    run: ps,
  },
  logs: {
    summary: 'Print what containers have printed',
    usage: 'logs [FLAGS] [SERVICE...]',
    flags: [
      boolean('follow', 'Go on with what comes', 'f'),
      text('tail', 'Only the last so many lines of each container', 'number', 'n'),
      ...PRINTING,
    ],
    async run(project, flags, services) {
      const tail = flags.text('tail')
      const options = {
        follow: flags.boolean('follow'),
        services: services.length > 0 ? services : undefined,
        tail: tail === undefined || tail === 'all' ? undefined : parseNumber(tail, '--tail', true),
      }
      const printer = await printerFor(project, flags)
      for await (const entry of project.logs(options)) await printer.print(entry)
      return 0
    },
  },
}

export const composeCommand: Command = {
  summary: 'Services of a compose file: up, down, ps, logs',
  flagsFirst: true,
  usage: 'compose [FLAGS] COMMAND',
  description: `Runs the services of a compose file (compose.yaml in this directory, unless --file names another). They live as long as
"up" does; "caisson compose COMMAND --help" says more of a command.

Commands:
${Object.entries(SUBCOMMANDS)
  .map(([name, { summary }]) => `  ${name.padEnd(4)}   ${summary}`)
  .join('\n')}`,
  flags: COMMON,
  exits: 'Exits with 0, with 1 when it failed, and with the code of a service for --exit-code-from.',

  async run(flags, [name, ...words]) {
    const command = name !== undefined && Object.hasOwn(SUBCOMMANDS, name) ? SUBCOMMANDS[name] : undefined
    if (!command)
      throw usageError(
        name === undefined ? 'compose: there is no command' : `compose: there is no command ${JSON.stringify(name)}`,
        `There are ${Object.keys(SUBCOMMANDS).join(', ')}.`,
      )
    const help = boolean('help', 'Print this')
    const { flags: own, rest } = parseMixedFlags([...command.flags, help], words)
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
    for (const service of rest)
      if (!project.services.includes(service))
        throw usageError(`there is no service ${JSON.stringify(service)}`, `There are ${project.services.join(', ')}.`)
    return command.run(project, own, rest)
  },
}

function fileOf(flags: Flags): string | string[] {
  const given =
    flags.list('file') ?? process.env.COMPOSE_FILE?.split(process.env.COMPOSE_PATH_SEPARATOR ?? path.delimiter)
  return given ?? '.'
}

function seconds(flags: Flags): number | undefined {
  const given = flags.text('timeout')
  return given === undefined ? undefined : parseNumber(given, '--timeout', false) * 1000
}

async function printerFor(project: Project, flags: Flags): Promise<LogPrinter> {
  const color = process.stdout.isTTY === true && !flags.boolean('no-color') && !process.env.NO_COLOR
  const printer = new LogPrinter(process.stdout, {
    color,
    prefix: !flags.boolean('no-log-prefix'),
    timestamps: flags.boolean('timestamps') ?? false,
  })
  printer.expect((await project.ps()).map(({ name }) => name))
  return printer
}

async function up(project: Project, flags: Flags, services: readonly string[]): Promise<number> {
  if (flags.boolean('detach'))
    throw usageError(
      '--detach: containers end with the process that started them',
      'Run it in the background with &, or as a service.',
    )
  const code = flags.text('exit-code-from')
  if (code !== undefined && !project.services.includes(code))
    throw usageError(
      `--exit-code-from: there is no service ${JSON.stringify(code)}`,
      `There are ${project.services.join(', ')}.`,
    )
  for (const warning of project.warnings) process.stderr.write(`caisson: ${warning}\n`)
  const abort = new AbortController()
  let asked = 0
  let ending: Promise<void> | undefined
  const end = () => {
    ending ??= project.down({ timeout: seconds(flags) })
    return ending
  }
  const interrupt = () => {
    asked++
    abort.abort()
    // Asked once more: without patience.
    if (asked > 1) void killAll(project)
    else if (started) void end()
  }
  let started = false
  for (const signal of SIGNALS) process.on(signal, interrupt)
  const progress = buildProgress(process.stderr)
  try {
    await project
      .up({
        build: flags.boolean('build'),
        services,
        scale: scaleOf(flags.list('scale')),
        onProgress: progress.tell,
        signal: abort.signal,
      })
      .finally(() => progress.end())
    started = true
    if (abort.signal.aborted) void end()
    const first =
      flags.boolean('abort-on-container-exit') || code !== undefined ? firstEnd(project, code, abort.signal) : undefined
    void first?.then(end)
    const printer = await printerFor(project, flags)
    for await (const entry of project.logs({ follow: true }))
      if (!project.quiet.includes(entry.service)) await printer.print(entry)
    await end()
    return (await first) ?? (asked > 0 ? 130 : 0)
  } catch (error) {
    if (asked > 0 && error instanceof CaissonError && error.code === 'ERR_CAISSON_ABORTED') return 130
    await end().catch(() => undefined)
    throw error
  } finally {
    for (const signal of SIGNALS) process.off(signal, interrupt)
  }
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** The code of the first that ends, or of the one service; undefined when all were ended before. */
async function firstEnd(
  project: Project,
  service: string | undefined,
  signal: AbortSignal,
): Promise<number | undefined> {
  while (!signal.aborted) {
    const all = await project.ps()
    if (all.length === 0) return undefined
    const ended = all.find(
      (each) => each.state === 'exited' && !each.restarting && (service === undefined || each.service === service),
    )
    if (ended) return service === undefined ? undefined : (ended.exitCode ?? undefined)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  return undefined
}

async function killAll(project: Project): Promise<void> {
  const { Container } = await import('../index.js')
  for (const { id } of await project.ps())
    await Container.get(id)
      .then((container) => container.kill())
      .catch(() => undefined)
}

function scaleOf(given: readonly string[] | undefined): Record<string, number> | undefined {
  return (
    given &&
    Object.fromEntries(
      given.map((each) => {
        const [, service = '', number = ''] = /^([^=]+)=(\d+)$/.exec(each) ?? []
        if (number === '') throw usageError(`--scale: ${each} is not understood`, 'Write --scale SERVICE=NUMBER.')
        return [service, Number(number)]
      }),
    )
  )
}

async function ps(project: Project, flags: Flags, services: readonly string[]): Promise<number> {
  const all = (await project.ps())
    .filter(({ service }) => services.length === 0 || services.includes(service))
    .filter(({ state }) => flags.boolean('all') || state !== 'exited')
  if (flags.boolean('quiet')) for (const { id } of all) process.stdout.write(`${id}\n`)
  else if (flags.boolean('json')) for (const each of all) process.stdout.write(`${JSON.stringify(each)}\n`)
  else
    process.stdout.write(
      table(
        ['NAME', 'IMAGE', 'SERVICE', 'STATUS', 'PORTS'],
        all.map((each) => [each.name, each.image, each.service, statusOf(each), portsOf(each)]),
      ),
    )
  return 0
}

function statusOf({ state, health, exitCode, restarting }: ProjectContainer): string {
  if (restarting) return 'restarting'
  if (state === 'exited') return `exited (${exitCode})`
  return health === 'none' ? state : `${state} (${health})`
}

function portsOf({ ports }: ProjectContainer): string {
  return ports
    .map(({ address, port, container, protocol }) => `${address}:${port}->${container}/${protocol}`)
    .join(', ')
}
