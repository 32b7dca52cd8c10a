/** `caisson serve`: the Docker Engine API, for docker and what else speaks it. */
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { type ServeOptions, serve } from '../engine/serve.js'
import type { Command } from './command.js'
import type { Flags } from './flags.js'
import { noWords } from './subcommands.js'
import { usageError } from './usage.js'

export const serveCommand: Command = {
  summary: 'Serve the Docker Engine API',
  usage: 'serve [FLAGS]',
  description: `Serves the Docker Engine API until it is ended by SIGINT or SIGTERM; its containers end with it. Whoever may connect is
root on this machine: the socket is of this user alone, and a port needs certificates of its clients.`,
  flags: [
    { name: 'socket', kind: 'text', value: 'path', help: 'Path of the socket' },
    { name: 'port', kind: 'text', value: 'number', help: 'TCP port; needs --tlscert, --tlskey and --tlscacert' },
    { name: 'host', kind: 'text', value: 'address', help: 'Address of the port; default 127.0.0.1' },
    { name: 'tlscert', kind: 'text', value: 'file', help: 'Certificate of the server' },
    { name: 'tlskey', kind: 'text', value: 'file', help: 'Its key' },
    { name: 'tlscacert', kind: 'text', value: 'file', help: 'Authority of the clients that may connect' },
    { name: 'insecure', kind: 'boolean', help: 'A port of loopback without TLS: everybody on this machine is root' },
  ],
  exits: 'Exits with 0 when it was ended, or with 1 when it failed.',

  async run(flags, rest) {
    noWords(rest, 'serve')
    const server = await serve(await optionsOf(flags))
    process.stderr.write(`DOCKER_HOST=${server.address}\n`)
    const controller = new AbortController()
    const ends = ['SIGINT', 'SIGTERM'].map((signal) => once(process, signal, { signal: controller.signal }))
    await Promise.race(ends)
    await server.close()
    // Its containers end with this process, and not before.
    process.exit(0)
  },
}

async function optionsOf(flags: Flags): Promise<ServeOptions> {
  const [socket, port, host] = [flags.text('socket'), flags.text('port'), flags.text('host')]
  if (port !== undefined && !/^\d{1,5}$/.test(port)) throw usageError(`--port: ${port} is no port`, 'Give a number.')
  const insecure = flags.boolean('insecure') ?? false
  const files = [flags.text('tlskey'), flags.text('tlscert'), flags.text('tlscacert')]
  const [key, certificate, authority] = await Promise.all(files.map((file) => file && readFile(file)))
  if (files.some(Boolean) && !(key && certificate && authority))
    throw usageError('--tlskey, --tlscert and --tlscacert go together', 'Give all three.')
  if (insecure && key) throw usageError('--insecure: there are certificates', 'Give the one or the others.')
  const tls = key && certificate && authority ? { key, certificate, authority } : undefined
  return {
    ...(socket === undefined ? {} : { socket }),
    ...(port === undefined ? {} : { port: Number(port) }),
    ...(host === undefined ? {} : { host }),
    ...(insecure ? { tls: false as const } : {}),
    ...(tls ? { tls } : {}),
  }
}
