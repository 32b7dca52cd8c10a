/** Programs in containers of a project, whichever process holds it: over its socket when that is another one. */
import type { Socket } from 'node:net'
import { PassThrough, type Readable, type Writable } from 'node:stream'
import type { Container } from '../container.js'
import { CaissonError } from '../errors.js'
import type { ExecResult, Execution } from '../execution.js'
import type { ExecOptions } from '../options.js'
import { notUp } from './change.js'
import { framesOf, KIND, sendFrame, taken } from './frames.js'
import type { Running } from './running.js'

export interface ProjectExecOptions extends Pick<ExecOptions, 'env' | 'user' | 'workdir' | 'tty'> {
  /** Which container of the service, from 1 on. Default: its first. */
  index?: number
  /** Whether the program has an input, which is `stdin`. Default false: it reads the end of file. */
  interactive?: boolean
  /** Kills the program with all that it has started. */
  signal?: AbortSignal
}

/** How it ended. */
export type ProjectExit = Pick<ExecResult, 'exitCode' | 'signal' | 'reason'>

/** A program in a container of a project. Its output is to be read: as with any pipe, it waits for that. */
export interface ProjectExecution {
  readonly stdin: Writable
  readonly stdout: Readable
  readonly stderr: Readable
  readonly ended: Promise<ProjectExit>
  /** Default: SIGKILL. */
  kill(signal?: string): void
  resize(columns: number, rows: number): void
}

/** What another process asks for. */
export interface ExecRequest extends Omit<ProjectExecOptions, 'signal'> {
  service: string
  command: readonly string[]
}

/** In this process. */
export function execHere(running: Running, request: ExecRequest, signal?: AbortSignal): ProjectExecution {
  const { service, command, index, interactive, ...options } = request
  const found = running.of(service).find(({ number }) => index === undefined || number === index)
  if (!found) throw notUp(index === undefined ? service : `${service} ${index}`)
  return attach(found.container, command, { ...options, signal }, interactive ?? false)
}

function attach(
  container: Container,
  command: readonly string[],
  options: ExecOptions,
  interactive: boolean,
): ProjectExecution {
  const execution = container.exec(command, options)
  const stdout = execution.stdout.pipe(new PassThrough())
  const stderr = execution.stderr.pipe(new PassThrough())
  // What fails is told by the promise.
  for (const stream of [execution.stdout, execution.stderr]) stream.on('error', () => undefined)
  const stdin = interactive ? execution.stdin : new PassThrough().resume()
  stdin.on('error', () => undefined)
  const finish = () => {
    stdout.end()
    stderr.end()
  }
  const ended = execution.then(
    ({ exitCode, signal, reason }) => ({ exitCode, signal, reason }),
    (error) => {
      finish()
      throw error
    },
  )
  return { ...controls(execution), stdin, stdout, stderr, ended }
}

const controls = (execution: Execution): Pick<ProjectExecution, 'kill' | 'resize'> => ({
  kill: (signal) => execution.kill(signal),
  resize: (columns, rows) => execution.resize(columns, rows),
})

/** For another process, over its connection. When that breaks, the program is ended: nobody waits for it any more. */
export async function serveExec(running: Running, request: ExecRequest, socket: Socket): Promise<void> {
  const execution = execHere(running, request)
  const { stdin, stdout, stderr, ended } = execution
  let over = false
  socket.on('close', () => {
    if (!over) execution.kill()
  })
  const listening = obey(execution, socket)
  listening.catch(() => socket.destroy())
  const pass = async (from: Readable, kind: typeof KIND.stdout | typeof KIND.stderr) => {
    for await (const chunk of from as AsyncIterable<Buffer>) await sendFrame(socket, kind, chunk)
  }
  const passed = Promise.all([pass(stdout, KIND.stdout), pass(stderr, KIND.stderr)])
  const exit = await ended
  await passed
  over = true
  await sendFrame(socket, KIND.ended, JSON.stringify(exit))
  socket.end()
  stdin.destroy()
}

/** Carries out what comes from the other side. */
async function obey({ stdin, kill, resize }: ProjectExecution, socket: Socket): Promise<void> {
  for await (const { kind, data } of framesOf(socket)) {
    if (kind === KIND.signal) kill(data.toString('utf8'))
    else if (kind === KIND.resize) {
      const [columns, rows] = JSON.parse(data.toString('utf8')) as [number, number]
      resize(columns, rows)
    } else if (kind !== KIND.stdin) throw new Error('that is nothing to ask for')
    else if (data.length === 0) stdin.end()
    else if (!stdin.write(data)) await taken(stdin)
  }
}

/** In the process at the other end of `connection`. */
export function execThere(connection: Promise<Socket>, interactive: boolean, signal?: AbortSignal): ProjectExecution {
  const [stdin, stdout, stderr] = [new PassThrough(), new PassThrough(), new PassThrough()]
  const tell = (kind: typeof KIND.signal | typeof KIND.resize, text: string) =>
    void connection.then(
      (socket) => sendFrame(socket, kind, text),
      () => undefined,
    )
  const abort = () => tell(KIND.signal, 'SIGKILL')
  signal?.addEventListener('abort', abort, { once: true })
  const ended = listen(connection, { stdin: interactive ? stdin : undefined, stdout, stderr })
    .then((exit) => (signal?.aborted && exit.signal === 'SIGKILL' ? { ...exit, reason: 'aborted' as const } : exit))
    .finally(() => {
      signal?.removeEventListener('abort', abort)
      stdout.end()
      stderr.end()
      stdin.destroy()
    })
  return {
    stdin: interactive ? stdin : stdin.resume(),
    stdout,
    stderr,
    ended,
    kill: (signal = 'SIGKILL') => tell(KIND.signal, signal),
    resize: (columns, rows) => tell(KIND.resize, JSON.stringify([columns, rows])),
  }
}

async function listen(
  connection: Promise<Socket>,
  { stdin, stdout, stderr }: { stdin: PassThrough | undefined; stdout: PassThrough; stderr: PassThrough },
): Promise<ProjectExit> {
  const socket = await connection
  try {
    if (stdin) void pump(stdin, socket)
    for await (const { kind, data } of framesOf(socket)) {
      if (kind === KIND.ended) return JSON.parse(data.toString('utf8')) as ProjectExit
      if (kind === KIND.failed) {
        const { code, message, stage, hint } = JSON.parse(data.toString('utf8')) as CaissonError
        throw new CaissonError(code, message, { stage, hint })
      }
      const to = kind === KIND.stdout ? stdout : stderr
      if (!to.write(data)) await taken(to)
    }
  } finally {
    socket.destroy()
  }
  throw new CaissonError('ERR_CAISSON_INVALID_STATE', 'the process that held the project has ended', {
    stage: 'compose',
    hint: 'Bring it up again.',
  })
}

async function pump(stdin: PassThrough, socket: Socket): Promise<void> {
  try {
    for await (const chunk of stdin as AsyncIterable<Buffer>) await sendFrame(socket, KIND.stdin, chunk)
    await sendFrame(socket, KIND.stdin, '')
  } catch {
    // It was destroyed: the program has ended.
  }
}
