/** The Docker Engine API on a socket or a port of this machine: `serve()` of `caisson/engine`. */
import { createServer, type Server, type ServerOptions } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import path from 'node:path'
import { CaissonError, invalidArgument } from '../errors.js'
import { checkNames, type Names } from '../util/option-names.js'
import { roots } from '../util/roots.js'
import { type Certificates, knownHosts, secureOptions } from './certificates.js'
import { listeners } from './server.js'
import { type BoundSocket, bindSocket } from './socket-file.js'

export type { Certificates } from './certificates.js'

export interface ServeOptions {
  /** Path of the socket; default: `engine.sock` beside the state of running containers, unless `port` is given. */
  socket?: string
  /** Of the socket's file; default 0o600. Whoever may write to it is root on this machine. */
  mode?: number
  /** TCP port of this machine; 0: a free one. It needs `tls`. */
  port?: number
  /** Address that `port` is on; default 127.0.0.1. */
  host?: string
  /**
   * Of the server, and the authority whose clients may connect: others are refused. `false`: none, so that everybody on
   * this machine is root; on loopback alone.
   */
  tls?: Certificates | false
}

export interface EngineServer {
  /** As DOCKER_HOST takes it: `unix:///run/caisson/engine.sock`, `tcp://127.0.0.1:2376`. */
  readonly address: string
  /** Ends it, and the connections to it. Containers go on until they or this process end. */
  close(): Promise<void>
}

const NAMES: Names<ServeOptions> = { socket: true, mode: true, port: true, host: true, tls: true }
const LOOPBACK = ['127.0.0.1', '::1']

/** Bounds for whoever connects. A body may take its time: it may be an image. */
const BOUNDS: ServerOptions = {
  maxHeaderSize: 32 * 1024,
  headersTimeout: 10_000,
  requestTimeout: 0,
  keepAliveTimeout: 60_000,
}
const HEADERS_MAX = 100
const CONNECTIONS_MAX = 1000

/**
 * Serves this process's images and containers, as dockerd does its own, to docker, compose and libraries that speak its
 * API. Containers end with this process, as all of caisson's do.
 */
export async function serve(options: ServeOptions = {}): Promise<EngineServer> {
  checkNames(options, NAMES, '')
  const { socket, port } = options
  if (socket !== undefined && port !== undefined)
    throw new CaissonError('ERR_CAISSON_INVALID_ARGUMENT', 'serve: socket and port are two servers', {
      stage: 'serve',
      hint: 'Call serve() for each.',
    })
  return port === undefined ? serveSocket(options) : servePort(port, options)
}

async function serveSocket({ socket, mode = 0o600, host, tls }: ServeOptions): Promise<EngineServer> {
  if (socket !== undefined && (typeof socket !== 'string' || socket === '' || socket.includes('\0')))
    throw invalidArgument('socket', socket, 'a path')
  if (!Number.isInteger(mode) || mode < 0 || mode > 0o777) throw invalidArgument('mode', mode, 'a mode such as 0o660')
  if (tls || host !== undefined) throw invalidArgument('tls', tls ?? host, 'given with a port: a socket has neither')
  const { request, upgrade } = listeners()
  const server = bounded(createServer(BOUNDS, request)).on('upgrade', upgrade)
  const place = path.resolve(socket ?? path.join(roots().run, 'engine.sock'))
  const bound = await bindSocket(server, place, mode)
  return { address: `unix://${place}`, close: closing(server, bound) }
}

async function servePort(port: number, { host = '127.0.0.1', mode, tls }: ServeOptions): Promise<EngineServer> {
  if (!Number.isInteger(port) || port < 0 || port > 65_535) throw invalidArgument('port', port, 'a port, or 0')
  if (typeof host !== 'string') throw invalidArgument('host', host, 'an address')
  if (mode !== undefined) throw invalidArgument('mode', mode, 'given with a socket: a port has none')
  if (tls === undefined)
    throw new CaissonError('ERR_CAISSON_INVALID_ARGUMENT', 'serve: a port without tls is open to all of this machine', {
      stage: 'serve',
      hint: 'Give tls: { key, certificate, authority }, serve a socket, or say tls: false for loopback.',
    })
  if (tls === false && !LOOPBACK.includes(host))
    throw new CaissonError('ERR_CAISSON_INVALID_ARGUMENT', `serve: ${host} without tls is open to the network`, {
      stage: 'serve',
      hint: 'Without tls there is 127.0.0.1 (or ::1) alone: whoever reaches the API is root on this machine.',
    })
  const { request, upgrade } = listeners(knownHosts(host, tls))
  const server = tls ? createSecureServer({ ...BOUNDS, ...secureOptions(tls) }, request) : createServer(BOUNDS, request)
  bounded(server).on('upgrade', upgrade)
  await listening(server, () => server.listen(port, host))
  const { port: taken } = server.address() as AddressInfo
  const name = host.includes(':') ? `[${host}]` : host
  return { address: `tcp://${name}:${taken}`, close: closing(server) }
}

function bounded<T extends Server>(server: T): T {
  server.maxHeadersCount = HEADERS_MAX
  server.maxConnections = CONNECTIONS_MAX
  return server
}

/** Resolves when it listens; throws what keeps it from that. */
async function listening(server: Server, listen: () => void): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).once('listening', resolve)
    listen()
  }).catch((error: NodeJS.ErrnoException) => {
    const { code = 'EIO', errno = 5, syscall = 'listen' } = error
    throw new CaissonError('ERR_CAISSON_SYSTEM', `serve: ${error.message}`, {
      stage: 'serve',
      hint: code === 'EADDRINUSE' ? 'Another server is there: choose another port.' : 'See the system call.',
      cause: { code, errno, syscall },
    })
  })
}

/** Hijacked connections are none of the server's any more. */
function closing(server: Server, bound?: BoundSocket): () => Promise<void> {
  const sockets = new Set<{ destroy(): void }>()
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  let closed: Promise<void> | undefined
  return () => {
    closed ??= (async () => {
      const ended = new Promise<void>((resolve) => server.close(() => resolve()))
      for (const socket of sockets) socket.destroy()
      await bound?.remove()
      await ended
    })()
    return closed
  }
}
