/** What an Execution and whoever starts its program ask of each other. */
import type { NativeReport, NativeStdio } from '../../native/addon.js'
import type { ExecOptions } from '../../options.js'
import type { Subject } from './events.js'
import type { Running, RunningEvents } from './running.js'
import type { StartRequest } from './start.js'
import type { TerminalSize } from './terminal-size.js'
import type { ExecResult } from './verdict.js'

/** What an Execution asks of whoever starts the program. */
export interface LaunchRequest {
  stdio: [NativeStdio, NativeStdio, NativeStdio]
  input?: Uint8Array
  captureLimit: number
  wallLimitMs: number
  cpuLimitMs: number
  /** The start is only told when it is asked for. */
  quiet: boolean
  /** Of the terminal, when it was set before the start. */
  terminalSize?: TerminalSize
  events: RunningEvents
  /** The caller's, and what kill() fires as long as nothing runs; for what takes long before the start. */
  signal(): AbortSignal
}

/** The options of a program whose terminal got a size meanwhile. */
export function withTerminalSize<T extends ExecOptions>(options: T, { terminalSize }: LaunchRequest): T {
  return terminalSize && options.tty ? { ...options, tty: terminalSize } : options
}

/** The part that goes to the addon as it is. */
export function limitsOf(request: LaunchRequest): StartRequest {
  const { stdio, input, captureLimit, wallLimitMs, cpuLimitMs, quiet } = request
  return { stdio, input, captureLimit, wallLimitMs, cpuLimitMs, quiet }
}

export interface Launched {
  running: Running
  /** For those who watch. */
  subject: Subject
  /** Builds the result when the report is there; throws what went wrong. */
  conclude(report: NativeReport): Promise<ExecResult> | ExecResult
}

export type Launcher = (request: LaunchRequest) => Promise<Launched>
