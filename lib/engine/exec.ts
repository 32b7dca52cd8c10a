/** Programs that clients execute in containers: made, started, looked at. */
import type { Container } from '../container.js'
import type { ExecResult, Execution } from '../execution.js'
import type { ExecOptions } from '../options.js'
import { newId } from '../util/ids.js'
import { requiredFields } from './body.js'
import type { Call } from './call.js'
import { ApiError, badRequest, failureOf, notImplemented } from './failure.js'
import type { Route } from './router.js'
import { frame } from './stream-format.js'
import { contentType, streamProgram } from './streams.js'

export interface Exec {
  readonly id: string
  readonly container: Container
  readonly command: readonly string[]
  readonly options: ExecOptions
  readonly tty: boolean
  readonly attach: { stdin: boolean; stdout: boolean; stderr: boolean }
  started: boolean
  /** While it runs: its result holds what it has printed. */
  execution: Execution | undefined
  size: { columns: number; rows: number } | undefined
  running: boolean
  pid: number
  exitCode: number | null
}

export const execRoutes: Route[] = [
  { method: 'POST', path: '/containers/{id}/exec', handler: create },
  { method: 'POST', path: '/exec/{id}/start', handler: start },
  { method: 'POST', path: '/exec/{id}/resize', handler: resize },
  { method: 'GET', path: '/exec/{id}/json', handler: inspect },
]

async function create(call: Call): Promise<void> {
  const { container } = await call.state.find(call.parameter('id'))
  const body = await requiredFields(call)
  if (container.state !== 'running')
    throw new ApiError(409, `container ${container.id} is ${container.state === 'paused' ? 'paused' : 'not running'}`)
  const command = body.texts('Cmd') ?? []
  if (command.length === 0) throw badRequest('No exec command specified')
  if (body.boolean('Privileged')) throw notImplemented('a privileged exec')
  const exec: Exec = {
    id: newId(),
    container,
    command,
    options: {
      ...(body.texts('Env')?.length ? { env: body.texts('Env') } : {}),
      ...(body.text('WorkingDir') ? { workdir: body.text('WorkingDir') } : {}),
      ...(body.text('User') ? { user: body.text('User') } : {}),
      // A session at a terminal may last; what other programs print has no bound when it is streamed.
      ...(body.boolean('Tty') ? { maxOutput: Number.MAX_SAFE_INTEGER } : {}),
    },
    tty: body.boolean('Tty') ?? false,
    attach: {
      stdin: body.boolean('AttachStdin') ?? false,
      stdout: body.boolean('AttachStdout') ?? false,
      stderr: body.boolean('AttachStderr') ?? false,
    },
    size: sizeOf(body.list('ConsoleSize')),
    started: false,
    execution: undefined,
    running: false,
    pid: 0,
    exitCode: null,
  }
  call.state.addExec(exec)
  call.json({ Id: exec.id }, 201)
}

async function start(call: Call): Promise<void> {
  const exec = call.state.exec(call.parameter('id'))
  const body = await requiredFields(call)
  if (exec.started) throw new ApiError(409, `exec ${exec.id} has been started already`)
  if (exec.container.state !== 'running') throw new ApiError(409, `container ${exec.container.id} is not running`)
  const size = sizeOf(body.list('ConsoleSize')) ?? exec.size
  const tty = exec.tty ? (size ?? true) : undefined
  const execution = exec.container.exec(exec.command, { ...exec.options, ...(tty ? { tty } : {}) })
  exec.started = true
  exec.execution = execution
  exec.running = true
  const detached = body.boolean('Detach') ?? false
  const { stdin, stdout, stderr } = exec.attach
  // Asked for before it starts: afterwards it is too late for some.
  const streams = {
    stdin: stdin && !detached ? execution.stdin : null,
    stdout: execution.stdout,
    stderr: execution.stderr,
  }
  streams.stdin?.on('error', () => undefined)
  for (const stream of [streams.stdout, streams.stderr]) stream.on('error', () => undefined)
  const started = execution.pid.then((pid) => {
    exec.pid = pid
  })
  const ended = follow(exec, execution)
  try {
    await started
  } catch (error) {
    const { message } = failureOf(error)
    await ended
    if (detached || exec.exitCode === null) throw error
    // As docker: the connection is there, and what went wrong is printed on it; the code is 126 or 127.
    call.take(contentType(call.version, exec.tty)).output.end(said(exec, message))
    return
  }
  if (detached) {
    for (const stream of [streams.stdout, streams.stderr]) stream.resume()
    call.empty(200)
    return
  }
  await streamProgram(call, streams, {
    ...{ tty: exec.tty, stdin, stdout, stderr },
    closesInput: true,
    left: 'drain',
    async last() {
      await ended
      // It has ended, nobody knows how: for docker null would be success.
      exec.exitCode ??= 255
    },
  })
}

/** A message of ours among what it prints. */
function said({ tty }: Exec, message: string): Buffer {
  return tty ? Buffer.from(`${message}\r\n`) : frame('stderr', Buffer.from(`${message}\n`))
}

/** Resolves when its exit code is known. */
async function follow(exec: Exec, execution: Execution): Promise<void> {
  try {
    const result: ExecResult = await execution
    exec.exitCode = result.exitCode ?? 137
  } catch (error) {
    const { code } = error as { code?: string }
    if (code === 'ERR_CAISSON_COMMAND_NOT_FOUND') exec.exitCode = 127
    if (code === 'ERR_CAISSON_COMMAND_NOT_EXECUTABLE') exec.exitCode = 126
  } finally {
    exec.running = false
    exec.execution = undefined
    exec.pid = 0
  }
}

/** As docker sends it: rows first. */
function sizeOf(list: unknown[] | undefined): Exec['size'] {
  const [rows, columns] = (list ?? []) as number[]
  return rows && columns ? { rows, columns } : undefined
}

function resize(call: Call): void {
  const exec = call.state.exec(call.parameter('id'))
  const [rows, columns] = [call.whole('h'), call.whole('w')]
  if (rows === undefined || columns === undefined) throw badRequest('h and w are missing')
  if (!exec.execution) throw new ApiError(409, `exec ${exec.id} is not running`)
  exec.execution.resize(columns, rows)
  call.empty(200)
}

function inspect(call: Call): void {
  const exec = call.state.exec(call.parameter('id'))
  const [entrypoint = '', ...args] = exec.command
  call.json({
    ID: exec.id,
    Running: exec.running,
    ExitCode: exec.exitCode,
    ProcessConfig: { tty: exec.tty, entrypoint, arguments: args, privileged: false, user: exec.options.user ?? '' },
    OpenStdin: exec.attach.stdin,
    OpenStdout: exec.attach.stdout,
    OpenStderr: exec.attach.stderr,
    CanRemove: false,
    ContainerID: exec.container.id,
    DetachKeys: '',
    Pid: exec.pid,
  })
}
