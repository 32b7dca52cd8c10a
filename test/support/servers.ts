/** HTTP servers on this machine that do what a test wants, and remember what they were asked. */
import http, { type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http'
import https from 'node:https'
import type { AddressInfo, Socket } from 'node:net'

export interface Seen {
  method: string
  url: string
  headers: IncomingHttpHeaders
}

export interface TestServer extends AsyncDisposable {
  /** `127.0.0.1:PORT`. */
  host: string
  port: number
  requests: Seen[]
  /** Connections that are open. */
  connections(): number
}

export type Handler = (request: IncomingMessage, response: ServerResponse, seen: Seen[]) => void | Promise<void>

export async function serve(handler: Handler, tls?: https.ServerOptions): Promise<TestServer> {
  const requests: Seen[] = []
  const sockets = new Set<Socket>()
  const listener = (request: IncomingMessage, response: ServerResponse) => {
    requests.push({ method: request.method ?? '', url: request.url ?? '', headers: request.headers })
    void (async () => handler(request, response, requests))().catch((error) => response.destroy(error))
  }
  const server = tls ? https.createServer(tls, listener) : http.createServer(listener)
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    host: `127.0.0.1:${port}`,
    port,
    requests,
    connections: () => sockets.size,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/** All that came with a request. */
export async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = []
  for await (const chunk of request) parts.push(chunk)
  return Buffer.concat(parts)
}
