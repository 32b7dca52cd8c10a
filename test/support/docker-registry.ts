/** Debian's docker-registry, started for a test: plain, with users, with TLS, with a token server. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import { type AddressInfo, connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { findProgram } from './needs.js'

export const noRegistry = !findProgram('docker-registry') && 'no docker-registry (apt: docker-registry)'
export const noSkopeo = !findProgram('skopeo') && 'no skopeo (apt: skopeo)'

export interface RegistryOptions {
  /** User and password. */
  user?: [string, string]
  tls?: { certificate: string; key: string; clientAuthority?: string }
  token?: { realm: string; service: string; issuer: string; certificate: string }
}

export interface DockerRegistry extends AsyncDisposable {
  /** `127.0.0.1:PORT`. */
  host: string
  port: number
  /** Where it keeps its content. */
  directory: string
}

export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

/** JSON is YAML. */
export async function startRegistry({ user, tls, token }: RegistryOptions = {}): Promise<DockerRegistry> {
  const directory = mkdtempSync(path.join(tmpdir(), 'caisson-registry-'))
  const port = await freePort()
  const passwords = path.join(directory, 'passwords')
  if (user) writeFileSync(passwords, execFileSync('htpasswd', ['-Bbn', '-C', '4', ...user]))
  const content = path.join(directory, 'content')
  mkdirSync(content)
  const configuration = {
    version: 0.1,
    log: { level: 'error', accesslog: { disabled: true } },
    storage: { filesystem: { rootdirectory: content } },
    http: {
      addr: `127.0.0.1:${port}`,
      ...(tls
        ? {
            tls: {
              certificate: tls.certificate,
              key: tls.key,
              ...(tls.clientAuthority ? { clientcas: [tls.clientAuthority] } : {}),
            },
          }
        : {}),
    },
    ...(user ? { auth: { htpasswd: { realm: 'test', path: passwords } } } : {}),
    ...(token ? { auth: { token: { ...token, rootcertbundle: token.certificate } } } : {}),
  }
  const file = path.join(directory, 'config.yml')
  writeFileSync(file, JSON.stringify(configuration))
  const child = spawn('docker-registry', ['serve', file], { stdio: 'ignore' })
  const host = `127.0.0.1:${port}`
  await answering(child, port)
  return {
    host,
    port,
    directory: content,
    async [Symbol.asyncDispose]() {
      const ended = new Promise((resolve) => child.once('close', resolve))
      child.kill('SIGKILL')
      await ended
      rmSync(directory, { recursive: true, force: true })
    },
  }
}

async function answering(child: ChildProcess, port: number): Promise<void> {
  for (let attempt = 0; attempt < 300; attempt++) {
    if (child.exitCode !== null) throw new Error(`docker-registry ended with ${child.exitCode}`)
    const there = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1')
      socket.once('connect', () => resolve(true))
      socket.once('error', () => resolve(false))
      socket.once('connect', () => socket.destroy())
    })
    if (there) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  throw new Error('docker-registry does not answer')
}

/** A proxy that does CONNECT and plain requests, and remembers them; `user`: `name:password` that it wants. */
export async function startProxy(user?: string) {
  const seen: Array<{ method: string; target: string; authorization: string | undefined }> = []
  const right = user && `Basic ${Buffer.from(user).toString('base64')}`
  const server = http.createServer((request, response) => {
    const url = new URL(request.url ?? '')
    seen.push({ method: request.method ?? '', target: url.host, authorization: request.headers['proxy-authorization'] })
    const onward = http.request(
      {
        host: '127.0.0.1',
        port: url.port,
        path: url.pathname + url.search,
        method: request.method,
        headers: request.headers,
      },
      (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers)
        answer.pipe(response)
      },
    )
    onward.on('error', () => response.destroy())
    request.pipe(onward)
  })
  server.on('connect', (request, socket) => {
    const authorization = request.headers['proxy-authorization']
    seen.push({ method: 'CONNECT', target: request.url ?? '', authorization })
    if (right && authorization !== right) return void socket.end('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n')
    const [host, port] = (request.url ?? '').split(':')
    // Whatever name is asked for, it is on this machine.
    const onward = connect(Number(port), host === 'localhost' ? host : '127.0.0.1', () => {
      socket.write('HTTP/1.1 200 OK\r\n\r\n')
      onward.pipe(socket)
      socket.pipe(onward)
    })
    onward.on('error', () => socket.destroy())
    socket.on('error', () => onward.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `http://${user ? `${user}@` : ''}127.0.0.1:${port}`,
    seen,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
