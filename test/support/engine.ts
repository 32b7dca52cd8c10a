/** A server of the Engine API in this process, and the real client of docker. */
import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import path from 'node:path'
import { type EngineServer, serve } from '../../lib/engine/serve.js'
import { Image } from '../../lib/index.js'
import { imageRoots } from '../../lib/runtime/image/roots.js'
import type { ImageConfig } from '../../lib/spec/image.js'
import { busyboxImage } from './busybox-image.js'
import { findProgram } from './needs.js'
import { storeImage } from './store-images.js'

export const noClient = !findProgram('docker') && 'no docker (apt: docker.io)'

export interface Outcome {
  status: number | null
  stdout: string
  stderr: string
}

export interface ClientOptions {
  input?: string
  /** At a terminal: by script(1). */
  terminal?: boolean
}

export interface Engine extends AsyncDisposable {
  server: EngineServer
  socket: string
  docker(args: readonly string[], options?: ClientOptions): Promise<Outcome>
  /** Its output; fails where it does. */
  ok(...args: string[]): Promise<string>
}

export const BOX = 'localhost/box:1'

/** An image in this process's store. */
export async function storeBox(config: ImageConfig = {}): Promise<Image> {
  await storeImage((await imageRoots()).store, busyboxImage(config), BOX)
  return Image.get(BOX)
}

export async function startEngine(directory: string): Promise<Engine> {
  const socket = path.join(directory, 'engine.sock')
  const server = await serve({ socket })
  const config = path.join(directory, 'config')
  // The client's own plugins and credentials are none of a test's.
  const env = {
    PATH: process.env.PATH,
    HOME: directory,
    DOCKER_CONFIG: config,
    DOCKER_HOST: server.address,
    DOCKER_BUILDKIT: '0',
  }
  const docker = (args: readonly string[], options: ClientOptions = {}) => client(args, env, options)
  return {
    server,
    socket,
    docker,
    async ok(...args) {
      const { status, stdout, stderr } = await docker(args)
      if (status !== 0) throw new Error(`docker ${args.join(' ')}: ${status}: ${stderr}`)
      return stdout.trimEnd()
    },
    [Symbol.asyncDispose]: () => server.close(),
  }
}

/** What the server sends on a connection that is taken over from HTTP, until it ends it. */
export function takenOver(socket: string, at: string, body = ''): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const connection = connect(socket)
    const type = `Content-Type: application/json\r\nContent-Length: ${body.length}`
    connection.write(`POST ${at} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n${type}\r\n\r\n${body}`)
    const chunks: Buffer[] = []
    connection.on('data', (chunk: Buffer) => chunks.push(chunk))
    connection.on('error', reject)
    connection.once('end', () => {
      const all = Buffer.concat(chunks)
      resolve(all.subarray(all.indexOf('\r\n\r\n') + 4))
    })
  })
}

function client(
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  { input, terminal = false }: ClientOptions,
): Promise<Outcome> {
  const quoted = ['docker', ...args].map((each) => `'${each.replaceAll("'", `'\\''`)}'`).join(' ')
  const child = terminal
    ? spawn('script', ['-qec', quoted, '/dev/null'], { env })
    : spawn('docker', [...args], { env, stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'] })
  const parts = { stdout: [] as Buffer[], stderr: [] as Buffer[] }
  child.stdout?.on('data', (chunk: Buffer) => parts.stdout.push(chunk))
  child.stderr?.on('data', (chunk: Buffer) => parts.stderr.push(chunk))
  if (input !== undefined) child.stdin?.end(input)
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (status) => {
      const text = (name: 'stdout' | 'stderr') => Buffer.concat(parts[name]).toString()
      resolve({ status, stdout: text('stdout'), stderr: text('stderr') })
    })
  })
}

/** A file of a test's. */
export function written(directory: string, name: string, text: string): string {
  const file = path.join(directory, name)
  writeFileSync(file, text)
  return file
}
