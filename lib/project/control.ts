/**
 * How other processes reach a project: a socket in the directory of the process that holds it, which only the same user
 * may open. It goes with that directory, so whoever finds one that does not answer has found a dead owner's.
 */
import { mkdir, open, readdir } from 'node:fs/promises'
import { createConnection, createServer, type Server, type Socket } from 'node:net'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { CaissonError, type ErrorCode } from '../errors.js'
import { addon } from '../native/addon.js'
import { owner } from '../runtime/process/owner.js'
import { roots } from '../util/roots.js'
import { CHANGES, type Change, type ChangeOptions, notUp } from './change.js'
import { type ExecRequest, execThere, type ProjectExecution } from './exec.js'
import { KIND, sendFrame } from './frames.js'
import type { ProjectContainer } from './running.js'

export interface DownOptions {
  /** With its named volumes; external ones stay. */
  volumes?: boolean
  /** Milliseconds until a container is killed; default: its own. */
  timeout?: number
}

type Request =
  | { do: 'ps' }
  | ({ do: 'down' } & DownOptions)
  | ({ do: Change } & ChangeOptions)
  | ({ do: 'exec' } & ExecRequest)
type Failure = { code: ErrorCode; message: string; stage: string; hint: string }
type Answer = { containers: ProjectContainer[] } | { done: true } | { error: Failure }

export interface Served {
  ps(): ProjectContainer[]
  down(options: DownOptions): Promise<void>
  change(what: Change, options: ChangeOptions): Promise<void>
  /** Goes on over the connection. */
  exec(request: ExecRequest, socket: Socket): Promise<void>
}

export interface Control {
  close(): Promise<void>
}

/** Bytes of a request. */
const LONGEST = 1024 * 1024
const DIRECTORY = 'projects'

/** Paths of sockets may have 107 bytes: the directory is named by a descriptor. */
async function inDirectory<T>(directory: string, use: (short: string) => Promise<T>): Promise<T> {
  const handle = await open(directory, 'r')
  try {
    return await use(`/proc/self/fd/${handle.fd}`)
  } finally {
    await handle.close()
  }
}

/** Takes the name of a project for this process. An error when another one has it. */
export async function claim(name: string, served: Served): Promise<Control> {
  const mine = path.join((await owner()).run, DIRECTORY)
  const lock = await addon().lock(path.join(roots().run, 'projects.lock'), true, true)
  try {
    const holder = await find(name)
    if (holder) {
      holder.destroy()
      throw new CaissonError('ERR_CAISSON_NAME_IN_USE', `the project ${name} is up already, in another process`, {
        stage: 'compose',
        hint: `Take it down first (caisson compose -p ${name} down), or give this one another name.`,
      })
    }
    await mkdir(mine, { recursive: true, mode: 0o700 })
    const server = createServer((socket) => void answer(socket, served))
    // Open until the end: when it is closed the server removes the name that it was given.
    const directory = await open(mine, 'r')
    await listen(server, `/proc/self/fd/${directory.fd}/${name}`)
    // Containers alone do not keep a process going either.
    server.unref()
    return {
      async close() {
        await new Promise((resolve) => {
          server.close(resolve)
          // Whoever asked for the end waits for the answer.
          resolve(undefined)
        })
        await directory.close()
      },
    }
  } finally {
    addon().closeFd(lock)
  }
}

function listen(server: Server, at: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(at, () => {
      server.off('error', reject)
      resolve()
    })
  })
}

async function answer(socket: Socket, served: Served): Promise<void> {
  socket.on('error', () => undefined)
  const reply = (message: Answer) => socket.end(`${JSON.stringify(message)}\n`)
  let framed = false
  try {
    const request = JSON.parse(await firstLine(socket)) as Request
    framed = request.do === 'exec'
    if (request.do === 'ps') reply({ containers: served.ps() })
    else if (request.do === 'down') {
      await served.down({ volumes: request.volumes === true, timeout: request.timeout })
      reply({ done: true })
    } else if (request.do === 'exec') {
      const { do: _, ...asked } = request
      await served.exec(asked, socket)
    } else if (CHANGES.includes(request.do)) {
      await served.change(request.do, { services: request.services, timeout: request.timeout })
      reply({ done: true })
    } else socket.destroy()
  } catch (error) {
    const { code = 'ERR_CAISSON_SYSTEM', message, stage = '', hint = '' } = error as CaissonError
    const failure: Failure = { code, message, stage, hint }
    if (!framed) return void reply({ error: failure })
    await sendFrame(socket, KIND.failed, JSON.stringify(failure))
    socket.end()
  }
}

/** What comes behind it stays to be read. */
function firstLine(socket: Socket): Promise<string> {
  return new Promise((resolve, reject) => {
    let bytes: Buffer = Buffer.alloc(0)
    const leave = () => socket.off('data', take).off('close', lost)
    const lost = () => {
      leave()
      reject(new Error('the connection was closed'))
    }
    const take = (chunk: Buffer) => {
      bytes = Buffer.concat([bytes, chunk])
      const end = bytes.indexOf('\n')
      if (end < 0 && bytes.length <= LONGEST) return
      leave()
      socket.pause()
      if (end < 0) return reject(new Error('the request is too long'))
      if (end + 1 < bytes.length) socket.unshift(bytes.subarray(end + 1))
      resolve(bytes.subarray(0, end).toString('utf8'))
    }
    socket.on('data', take).on('close', lost)
  })
}

/** A connection to the process that holds it; undefined when none does. */
async function find(name: string): Promise<Socket | undefined> {
  const owners = path.join(roots().run, 'owners')
  for (const id of await readdir(owners).catch((): string[] => [])) {
    const directory = path.join(owners, id, DIRECTORY)
    const names = await readdir(directory).catch((): string[] => [])
    if (!names.includes(name)) continue
    const socket = await inDirectory(directory, (short) => connect(path.join(short, name))).catch(() => undefined)
    if (socket) return socket
  }
  return undefined
}

function connect(at: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(at)
    socket.once('error', reject)
    socket.once('connect', () => {
      socket.off('error', reject)
      resolve(socket)
    })
  })
}

/** undefined: no other process holds it. */
async function ask(name: string, request: Request): Promise<Answer | undefined> {
  const socket = await find(name)
  if (!socket) return undefined
  try {
    socket.on('error', () => undefined)
    socket.write(`${JSON.stringify(request)}\n`)
    for await (const line of createInterface(socket)) return JSON.parse(line) as Answer
    return undefined
  } finally {
    socket.destroy()
  }
}

export async function askPs(name: string): Promise<ProjectContainer[]> {
  const answered = await ask(name, { do: 'ps' })
  if (!answered || !('containers' in answered)) return []
  return answered.containers.map((each) => ({ ...each, created: new Date(each.created) }))
}

/** Resolves when it is down. */
export async function askDown(name: string, options: DownOptions): Promise<void> {
  failureIn(await ask(name, { do: 'down', ...options }))
}

/** To stop what no process holds is no error. */
export async function askChange(name: string, what: Change, options: ChangeOptions): Promise<void> {
  const answered = await ask(name, { do: what, ...options })
  if (!answered && what !== 'stop') throw notUp(`the project ${name}`)
  failureIn(answered)
}

function failureIn(answered: Answer | undefined): void {
  if (!answered || !('error' in answered)) return
  const { code, message, stage, hint } = answered.error
  throw new CaissonError(code, message, { stage, hint })
}

export function askExec(name: string, request: ExecRequest, signal?: AbortSignal): ProjectExecution {
  const connection = find(name).then((socket) => {
    if (!socket) throw notUp(`the project ${name}`)
    socket.on('error', () => undefined)
    socket.write(`${JSON.stringify({ do: 'exec', ...request } satisfies Request)}\n`)
    return socket
  })
  return execThere(connection, request.interactive ?? false, signal)
}
