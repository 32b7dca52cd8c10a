/** What starts a program in a running container for an Execution, and makes its result. */
import { setTimeout as sleep } from 'node:timers/promises'
import { CaissonError, type ErrorCode } from '../../errors.js'
import type { ExecOptions } from '../../options.js'
import { tierOf } from '../isolation/place.js'
import type { Execs } from '../process/exec.js'
import { type Launched, type LaunchRequest, limitsOf, withTerminalSize } from '../process/launch.js'
import { endedWith, MOMENT, verdictOfCall } from '../process/verdict.js'
import { isOver, type Life } from './life.js'
import type { Parts } from './parts.js'

/** What is wrong with an exec itself. All else may be because the container that it enters is just ending. */
const OF_THE_CALLER: ReadonlySet<ErrorCode> = new Set([
  'ERR_CAISSON_INVALID_ARGUMENT',
  'ERR_CAISSON_USER_NOT_FOUND',
  'ERR_CAISSON_ABORTED',
])

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
  const container = life.running
  const pidfd = container?.pidfd() ?? -1
  if (!container || pidfd < 0) throw wrongState()
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
    async conclude(report) {
      execs.ended(running)
      const result = verdictOfCall(report, files, report.failure ? notes() : [])
      if (result instanceof CaissonError) {
        if (!OF_THE_CALLER.has(result.code)) await Promise.race([whole.catch(() => undefined), sleep(MOMENT)])
        throw (await isOver(life, container)) ? wrongState() : result
      }
      return report.cause === '' ? endedWith(result, files, whole) : result
    },
  }
}
