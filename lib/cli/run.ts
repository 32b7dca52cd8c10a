/** `caisson run`: a program in a container, with this process's standard streams. */
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { constants } from 'node:os'
import { type ExecResult, type Execution, Image, type RunOptions, run } from '../index.js'
import type { Command } from './command.js'
import { IdFile } from './id-file.js'
import { RUN_REFUSED } from './refused-flags.js'
import { RUN_FLAGS, runOptions } from './run-flags.js'
import { attachTerminal, terminalSize } from './terminal.js'
import { usageError } from './usage.js'

export const runCommand: Command = {
  summary: 'Run a program in a new container',
  flagsFirst: true,
  usage: 'run [FLAGS] IMAGE [COMMAND] [ARGUMENT...]',
  description: `Runs a program in a new container, which is removed when the program has ended. IMAGE is the name of an image, or
"host": the programs of this machine, read-only, and nothing else of it.`,
  flags: RUN_FLAGS,
  refused: RUN_REFUSED,
  exits: `Exits with the program's own code; 128 and the number of the signal that ended it; 127 when the program is not there,
126 when it cannot be executed, and 125 when caisson itself failed.`,

  async run(flags, rest) {
    const [name, ...command] = rest
    if (name === undefined) throw usageError('there is no image', 'Write caisson run [FLAGS] IMAGE [COMMAND...].')
    const tty = flags.boolean('tty') ?? false
    const interactive = flags.boolean('interactive') ?? false
    if (tty && interactive && !process.stdin.isTTY)
      throw usageError('--tty: the standard input is not a terminal', 'Leave -t out, or run it in a terminal.')
    const options: RunOptions = {
      ...runOptions(flags),
      // A session at a terminal may last, and what it printed is not kept.
      ...(tty ? { tty: terminalSize(), maxOutput: Number.MAX_SAFE_INTEGER } : {}),
    }
    if (options.healthcheck) subscribe('caisson:health', tellHealth)
    const attached = attachedStreams(flags.list('attach'))
    const forwards = flags.boolean('sig-proxy') ?? true
    const exitCode = await withIdFile(flags.text('cidfile'), async () => {
      const image = name === 'host' ? await Image.host() : name
      const execution = run(image, command.length > 0 ? command : undefined, options)
      return follow(execution, { tty, interactive, forwards, attached })
    })
    if (exitCode === 127 && command[0]?.startsWith('-'))
      process.stderr.write(`hint: Flags go before the image: caisson run ${command[0]} ... ${name}\n`)
    return exitCode
  },
}

type OutputName = 'stdout' | 'stderr'

/** As docker: those of --attach, in any case; without it both. */
export function attachedStreams(given: readonly string[] = ['stdout', 'stderr']): ReadonlySet<OutputName> {
  const attached = new Set<OutputName>()
  for (const name of given.map((each) => each.toLowerCase()))
    if (name === 'stdout' || name === 'stderr') attached.add(name)
    // Whether it reads anything is for -i to say.
    else if (name !== 'stdin')
      throw usageError(`--attach: there is no stream ${JSON.stringify(name)}`, 'Give stdin, stdout or stderr.')
  return attached
}

/** Events are what tells the id. */
async function withIdFile(path: string | undefined, work: () => Promise<number>): Promise<number> {
  if (path === undefined) return work()
  const file = new IdFile(path)
  const note = (event: unknown) => file.write((event as { container: string }).container)
  const channels = ['caisson:start', 'caisson:exit']
  for (const name of channels) subscribe(name, note)
  try {
    return await work()
  } finally {
    for (const name of channels) unsubscribe(name, note)
    file.close()
  }
}

/** There is no list in which it could be seen later. */
function tellHealth(event: unknown): void {
  const { health } = event as { health: string }
  process.stderr.write(`caisson: it is ${health}, says --health-cmd\n`)
}

interface Following {
  tty: boolean
  interactive: boolean
  forwards: boolean
  attached: ReadonlySet<OutputName>
}

/** Connects the streams, and gives the exit code. */
async function follow(execution: Execution, { tty, interactive, forwards, attached }: Following): Promise<number> {
  const forgetSignals = forwards ? forwardSignals(execution) : undefined
  const detach = tty ? attachTerminal(execution, interactive) : undefined
  let printed = 0
  try {
    for (const name of ['stdout', 'stderr'] as const) {
      const from = execution[name]
      const to = process[name]
      from.on('error', () => undefined)
      if (name === 'stderr') from.on('data', (chunk: Buffer) => (printed += chunk.length))
      if (attached.has(name)) {
        // Nobody reads us any more: then the program is told the same way.
        to.on('error', () => from.destroy())
        from.pipe(to, { end: false })
      } else from.resume()
    }
    if (interactive) {
      execution.stdin.on('error', () => undefined)
      process.stdin.pipe(execution.stdin)
    }
    const result = await execution
    // What caisson itself has to say of the program is in the result alone.
    if (!tty && !result.truncated) process.stderr.write(result.stderrBytes.subarray(printed))
    // That nothing was executed is said to whoever asked for its output.
    const isExecuted = await execution.pid.then(
      () => true,
      () => false,
    )
    if (!tty && !isExecuted && !attached.has('stderr')) process.stderr.write(result.stderrBytes)
    const why = explanation(result)
    if (why) process.stderr.write(`caisson: ${why}\n`)
    return exitCodeOf(result)
  } finally {
    detach?.()
    forgetSignals?.()
    if (interactive) process.stdin.destroy()
  }
}

export function exitCodeOf({ exitCode, signal }: Pick<ExecResult, 'exitCode' | 'signal'>): number {
  if (exitCode !== null) return exitCode
  const realtime = /^SIGRTMIN\+(\d+)$/.exec(signal ?? '')
  const number = realtime ? 34 + Number(realtime[1]) : constants.signals[signal as NodeJS.Signals]
  return 128 + (number ?? constants.signals.SIGKILL)
}

function explanation({ reason }: ExecResult): string | undefined {
  const reasons: Partial<Record<ExecResult['reason'], string>> = {
    timeout: 'ended, as --timeout has passed',
    cpu: 'ended, as --cpu-timeout was used up',
    oom: 'ended, as its memory ran out (--memory)',
  }
  return reasons[reason]
}

const FORWARDED: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2']
/** So often someone has to ask until it is done by force: a PID 1 without a handler ignores signals. */
const PATIENCE = 3

export function forwardSignals(execution: Pick<Execution, 'kill'>): () => void {
  let asked = 0
  const forward = (signal: NodeJS.Signals) => {
    if (signal === 'SIGINT' || signal === 'SIGTERM') asked++
    execution.kill(asked >= PATIENCE ? 'SIGKILL' : signal)
  }
  for (const signal of FORWARDED) process.on(signal, forward)
  return () => {
    for (const signal of FORWARDED) process.off(signal, forward)
  }
}
