/** `caisson compose exec`: a program in a container of a service, with this process's standard streams. */
import type { ProjectExecution } from '../index.js'
import { type Subcommand, servicesIn } from './compose-command.js'
import { boolean, list, text } from './flags.js'
import { exitCodeOf, forwardSignals } from './run.js'
import { attachTerminal, terminalSize } from './terminal.js'
import { usageError } from './usage.js'
import { parseNumber, setVariables } from './values.js'

export const execCommand: Subcommand = {
  summary: 'Run a program in a running container of a service',
  usage: 'exec [FLAGS] SERVICE COMMAND [ARGUMENT...]',
  flagsFirst: true,
  flags: [
    list('env', 'Set a variable', 'name=value', 'e'),
    text('index', 'Which container of the service', 'number'),
    boolean('interactive', 'Pass the input on (default: true)', 'i'),
    boolean('no-tty', 'Give it no terminal; default: one when this is one', 'T'),
    text('user', 'Name or number, with :group', 'user', 'u'),
    text('workdir', 'Directory to start in', 'path', 'w'),
  ],
  async run(project, flags, [service, ...command]) {
    if (service === undefined || command.length === 0)
      throw usageError('exec: a service and a command are needed', 'Write caisson compose exec SERVICE COMMAND.')
    servicesIn(project, [service])
    const tty = !flags.boolean('no-tty') && process.stdin.isTTY === true && process.stdout.isTTY === true
    const interactive = flags.boolean('interactive') ?? true
    const index = flags.text('index')
    const execution = project.exec(service, command, {
      env: setVariables(flags.list('env')),
      user: flags.text('user'),
      workdir: flags.text('workdir'),
      index: index === undefined ? undefined : parseNumber(index, '--index', true),
      tty: tty ? terminalSize() : undefined,
      interactive,
    })
    return follow(execution, { tty, interactive })
  },
}

async function follow(
  execution: ProjectExecution,
  { tty, interactive }: { tty: boolean; interactive: boolean },
): Promise<number> {
  const forgetSignals = forwardSignals(execution)
  const detach = tty ? attachTerminal(execution, interactive) : undefined
  try {
    for (const name of ['stdout', 'stderr'] as const) {
      const to = process[name]
      // Nobody reads us any more: then the program is of no use to anybody.
      to.on('error', () => execution.kill())
      execution[name].pipe(to, { end: false })
    }
    if (interactive) process.stdin.pipe(execution.stdin)
    const exit = await execution.ended
    return exitCodeOf(exit)
  } finally {
    detach?.()
    forgetSignals()
    if (interactive) process.stdin.destroy()
  }
}
