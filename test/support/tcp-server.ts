/** A server on this machine's loopback that tests connect to. */
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'

export interface TestServer {
  port: number
  /** Connections that came. */
  count: number
  open: Set<Socket>
  stop(): void
}

/** Without `serve`: it says `here` and ends. */
export async function startServer(serve = (socket: Socket): unknown => socket.end('here'), host = '127.0.0.1') {
  const open = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    made.count++
    open.add(socket)
    socket.on('close', () => open.delete(socket))
    socket.on('error', () => undefined)
    serve(socket)
  })
  server.listen(0, host, 4096)
  await once(server, 'listening')
  const made: TestServer = {
    port: (server.address() as AddressInfo).port,
    count: 0,
    open,
    stop() {
      server.close()
      for (const socket of open) socket.destroy()
    },
  }
  return made
}
