/** `caisson compose up` and `logs`: services, as long as this process lives, and what they print. */
import { CaissonError, type Project } from '../index.js'
import { buildProgress } from './build-progress.js'
import { type Subcommand, servicesIn, timeoutOf } from './compose-command.js'
import { LogPrinter } from './compose-log.js'
import { boolean, type Flags, list, text } from './flags.js'
import { harmless } from './harmless.js'
import { usageError } from './usage.js'
import { parseNumber } from './values.js'

const PRINTING = [
  boolean('no-color', 'Print no colours'),
  boolean('no-log-prefix', 'Print lines without the name of their container'),
  boolean('timestamps', 'Print the time of each line', 't'),
]

export const upCommand: Subcommand = {
  summary: 'Start services, and print what they print until they end',
  usage: 'up [FLAGS] [SERVICE...]',
  flags: [
    boolean('abort-on-container-exit', 'End all when one ends'),
    boolean('build', 'Build images anew'),
    boolean('detach', 'Not there: containers end with this process', 'd'),
    text('exit-code-from', 'Exit as this service does; ends all when it ends', 'service'),
    boolean('force-recreate', 'As without: containers are always made anew'),
    boolean('remove-orphans', 'As without: no other containers are of a project'),
    list('scale', 'Number of containers (service=number)', 'service=number'),
    text('timeout', 'Seconds until containers are killed at the end', 'seconds'),
    ...PRINTING,
  ],
  run: (project, flags, words) => up(project, flags, servicesIn(project, words) ?? []),
}

export const logsCommand: Subcommand = {
  summary: 'Print what containers have printed',
  usage: 'logs [FLAGS] [SERVICE...]',
  flags: [
    boolean('follow', 'Go on with what comes', 'f'),
    text('tail', 'Only the last so many lines of each container', 'number', 'n'),
    ...PRINTING,
  ],
  async run(project, flags, words) {
    const services = servicesIn(project, words)
    const tail = flags.text('tail')
    const options = {
      follow: flags.boolean('follow'),
      services,
      tail: tail === undefined || tail === 'all' ? undefined : parseNumber(tail, '--tail', true),
    }
    const printer = await printerFor(project, flags)
    for await (const entry of project.logs(options)) await printer.print(entry)
    return 0
  },
}

async function printerFor(project: Project, flags: Flags): Promise<LogPrinter> {
  const terminal = process.stdout.isTTY === true
  const printer = new LogPrinter(process.stdout, {
    color: terminal && !flags.boolean('no-color') && !process.env.NO_COLOR,
    terminal,
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
  for (const warning of project.warnings) process.stderr.write(harmless(`caisson: ${warning}\n`))
  const abort = new AbortController()
  let asked = 0
  let ending: Promise<void> | undefined
  const end = () => {
    ending ??= project.down({ timeout: timeoutOf(flags) })
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
