/** From the addon's report to the result that callers see. */
import { constants } from 'node:os'
import type { AccountFiles } from '../../cgroup/accounts.js'
import { type Usage, usageFrom } from '../../cgroup/usage.js'
import { CaissonError, invalidArgument } from '../../errors.js'
import type { NativeReport } from '../../native/addon.js'
import { errorFromFailure, type Note } from '../../native/failure.js'
import type { EgressUsage } from '../../network/egress/request.js'

/** Why a program ended. */
export type Reason = 'exit' | 'signal' | 'oom' | 'timeout' | 'cpu' | 'output' | 'aborted'

export interface ExecResult {
  /** null when a signal ended it. */
  exitCode: number | null
  /** As `SIGKILL`. */
  signal: string | null
  reason: Reason
  stdout: string
  stderr: string
  stdoutBytes: Buffer
  stderrBytes: Buffer
  /** Output was cut at `maxOutput`. */
  truncated: boolean
  /** From the program's first instruction to its end; in a pool, perhaps from some tenths of a millisecond before. */
  durationMs: number
  usage: Usage
  /** What went through the egress policy of a run that has one. */
  egress?: EgressUsage
}

const SIGNALS = new Map(Object.entries(constants.signals).map(([name, number]) => [number, name]))

function signalName(number: number): string {
  const name = SIGNALS.get(number)
  if (name) return name === 'SIGIOT' ? 'SIGABRT' : name === 'SIGPOLL' ? 'SIGIO' : name
  return number >= 34 ? `SIGRTMIN+${number - 34}` : `SIG${number}`
}

/** `TERM`, `SIGTERM` or 15 to the number; undefined when there is no such signal. */
export function signalNumber(signal: string | number): number | undefined {
  if (typeof signal === 'number') return Number.isInteger(signal) && signal >= 1 && signal <= 64 ? signal : undefined
  if (typeof signal !== 'string') return undefined
  const upper = signal.toUpperCase()
  if (/^\d+$/.test(upper)) return signalNumber(Number(upper))
  const realtime = /^(?:SIG)?RT(MIN|MAX)([+-]\d+)?$/.exec(upper)
  if (realtime) return signalNumber((realtime[1] === 'MIN' ? 34 : 64) + Number(realtime[2] ?? 0))
  return constants.signals[(upper.startsWith('SIG') ? upper : `SIG${upper}`) as NodeJS.Signals]
}

/** As signalNumber; `option` names it in the error. */
export function checkSignal(signal: string | number, option: string): number {
  const number = signalNumber(signal)
  if (number === undefined) throw invalidArgument(option, signal, 'the name or number of a signal')
  return number
}

const EXITED = 1

/** The result, or the error when the program never ran. A missing command is a result: 127 or 126, as in a shell. */
export function verdict(report: NativeReport, files: AccountFiles, notes: readonly Note[]): ExecResult | CaissonError {
  if (report.failure) {
    const stopped = interrupted(report)
    if (stopped) return stopped
    const error = errorFromFailure(report.failure, notes)
    if (error.code === 'ERR_CAISSON_COMMAND_NOT_FOUND') return shellResult(report, files, 127, 'not found', error)
    if (error.code === 'ERR_CAISSON_COMMAND_NOT_EXECUTABLE')
      return shellResult(report, files, 126, 'cannot be executed', error)
    return error
  }
  const usage = usageFrom(files, report)
  const exited = report.code === EXITED
  const killed = !exited && report.status === constants.signals.SIGKILL
  let reason: Reason = exited ? 'exit' : 'signal'
  if (report.cause !== '' && report.cause !== 'stopped') reason = report.cause
  // A kill that we did not send, in a cgroup where memory ran out, was the kernel's.
  else if (killed && report.cause === '' && (usage.oomKills ?? 0) > 0) reason = 'oom'
  // Output over the bound may come and be read after the program has ended by itself.
  if (reason === 'output' && exited && !report.truncated) reason = 'exit'
  return withText({
    exitCode: exited ? report.status : null,
    signal: exited || report.code === 0 ? null : signalName(report.status),
    reason,
    stdoutBytes: report.stdout,
    stderrBytes: report.stderr,
    truncated: report.truncated,
    durationMs: report.durationMs,
    usage,
  })
}

/** Of a program that its caller may kill at any time: when it was not yet executed, the signal came before it all the same. */
export function verdictOfCall(
  report: NativeReport,
  files: AccountFiles,
  notes: readonly Note[],
): ExecResult | CaissonError {
  if (!report.failure || report.cause !== 'stopped' || !report.asked) return verdict(report, files, notes)
  return withText({
    exitCode: null,
    signal: 'SIGKILL',
    reason: 'signal',
    stdoutBytes: report.stdout,
    stderrBytes: report.stderr,
    truncated: report.truncated,
    durationMs: report.durationMs,
    usage: usageFrom(files, report),
  })
}

/** Milliseconds in which a container ends that has begun to. */
export const MOMENT = 50

/**
 * Of an exec that the kernel killed together with its container: that may have ended first and taken the counters with
 * it, so its result tells why.
 */
export async function endedWith(
  result: ExecResult,
  files: AccountFiles,
  whole: Promise<ExecResult>,
): Promise<ExecResult> {
  if (files.memoryEvents === undefined || result.reason !== 'signal' || result.signal !== 'SIGKILL') return result
  const gone = result.usage.oomKills === null
  // On cgroup v1 it may have been killed by us, with its container, before the kernel had one to count.
  const soon = new Promise<undefined>((resolve) => setTimeout(() => resolve(undefined), MOMENT))
  const container = await (gone ? whole : Promise.race([whole, soon])).catch(() => undefined)
  if (container?.reason !== 'oom') return result
  result.reason = 'oom'
  result.usage.oomKills = container.usage.oomKills
  return result
}

/** Bytes above which a text is only decoded when it is asked for. */
const EAGER = 64 * 1024

/** Adds the texts. Large ones are decoded late: many callers want only one of the two, or the bytes. */
export function withText(result: Omit<ExecResult, 'stdout' | 'stderr'>): ExecResult {
  const text = (bytes: 'stdoutBytes' | 'stderrBytes') =>
    result[bytes].length <= EAGER
      ? { enumerable: true, configurable: true, writable: true, value: result[bytes].toString('utf8') }
      : {
          enumerable: true,
          configurable: true,
          get(this: ExecResult) {
            return this[bytes].toString('utf8')
          },
        }
  return Object.defineProperties(result, { stdout: text('stdoutBytes'), stderr: text('stderrBytes') }) as ExecResult
}

/** Of a program that was killed before anything of it was there. */
export function killedBeforehand(): ExecResult {
  const [stdoutBytes, stderrBytes] = [Buffer.alloc(0), Buffer.alloc(0)]
  const usage = usageFrom({}, { collected: [], userMs: 0, systemMs: 0 })
  const ended = { exitCode: null, signal: 'SIGKILL', reason: 'signal' as const, truncated: false, durationMs: 0 }
  return withText({ ...ended, stdoutBytes, stderrBytes, usage })
}

/** We killed it before it became the program. */
function interrupted(report: NativeReport): CaissonError | undefined {
  if (report.cause === 'aborted')
    return new CaissonError('ERR_CAISSON_ABORTED', 'aborted before the program started', {
      stage: 'start',
      hint: 'The signal that was given fired.',
    })
  if (report.cause === 'stopped' && report.asked)
    return new CaissonError('ERR_CAISSON_ABORTED', 'killed before the program started', {
      stage: 'start',
      hint: 'Whoever has the container killed, stopped or removed it meanwhile.',
    })
  return undefined
}

function shellResult(
  report: NativeReport,
  files: AccountFiles,
  exitCode: number,
  what: string,
  error: CaissonError,
): ExecResult {
  const path = (error.cause as { path?: string } | undefined)?.path ?? ''
  const said = `caisson: ${path}: ${what}`
  const result = withText({
    exitCode,
    signal: null,
    reason: 'exit',
    stdoutBytes: report.stdout,
    stderrBytes: Buffer.concat([report.stderr, Buffer.from(`${said}\n`)]),
    truncated: report.truncated,
    durationMs: report.durationMs,
    usage: usageFrom(files, report),
  })
  const { code, stage, hint, cause } = error
  report.refused = Object.assign(new CaissonError(code, said, { stage, hint, cause }), { result })
  return result
}

/** For `throwOnError`; the result is on the error. */
export function commandFailed(result: ExecResult): CaissonError {
  const how =
    result.reason === 'exit'
      ? `exited with ${result.exitCode}`
      : result.reason === 'signal'
        ? `was ended by ${result.signal}`
        : `was ended: ${result.reason}`
  const tail = result.stderr.trim().split('\n').slice(-3).join('\n')
  const error = new CaissonError('ERR_CAISSON_COMMAND_FAILED', `the program ${how}${tail ? `\n${tail}` : ''}`, {
    stage: 'run',
    hint: 'See the result on this error, stderr above all.',
  })
  return Object.assign(error, { result })
}
