/** What starts a program in a running container for an Execution, and makes its result. */
import { CaissonError } from '../../errors.js'
import type { ExecOptions } from '../../options.js'
import { tierOf } from '../isolation/place.js'
import type { Execs } from '../process/exec.js'
import { type Launched, type LaunchRequest, limitsOf, withTerminalSize } from '../process/launch.js'
import { endedWith, verdictOfCall } from '../process/verdict.js'
import type { Life } from './life.js'
import type { Parts } from './parts.js'

export interface ExecuteIn {
  parts: Pick<Parts, 'id' | 'assembled'>
  life: Pick<Life, 'running' | 'exit'>
  execs: Execs
  /** The error of a container that does not run (any more). */
  wrongState(): CaissonError
}

export function execute(
  { parts, life, execs, wrongState }: ExecuteIn,
  command: readonly string[],
  options: ExecOptions,
  request: LaunchRequest,
): Launched {
  const pidfd = life.running?.pidfd() ?? -1
  if (pidfd < 0) throw wrongState()
  const whole = life.exit
  const { running, files, notes } = execs.start(
    command,
    withTerminalSize(options, request),
    pidfd,
    limitsOf(request),
    request.events,
  )
  return {
    running,
    subject: { kind: 'exec', container: parts.id, command, tier: tierOf(parts.assembled.workload) },
    conclude: (report) => {
      execs.ended(running)
      const result = verdictOfCall(report, files, report.failure ? notes() : [])
      if (result instanceof CaissonError) throw life.running ? result : wrongState()
      return report.cause === '' ? endedWith(result, files, whole) : result
    },
  }
}
