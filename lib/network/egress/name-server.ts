/**
 * The name server of one container. It answers with addresses of ours that stand for names, and for names alone that the
 * policy allows; of others nobody outside hears. Nothing of a message goes on, so no message carries anything out.
 */
import { createSocket, type Socket as Datagrams, type RemoteInfo } from 'node:dgram'
import { once } from 'node:events'
import { createServer, type Server, type Socket } from 'node:net'
import { addon } from '../../native/addon.js'
import { errorFromFailure } from '../../native/failure.js'
import { answer, CODE, parseQuestion, type Question, TYPE } from './message.js'

/** What is known about a name; `none`: it does not exist, for the container. */
export type Named = 'there' | 'none' | 'failed'

export interface NameServerOptions {
  /** Descriptors of sockets that are bound; taken over. */
  udp: number
  tcp: number
  look(name: string): Promise<Named>
  addressOf(name: string, family: 4 | 6): string
  /** Whether addresses of IPv6 lead anywhere. */
  ipv6: boolean
}

const CALLERS_MAX = 64
const CALL_MS = 20_000
/** Questions that are being answered; what comes beyond them has to be asked again. */
const PENDING_MAX = 256

export class NameServer {
  readonly #options: NameServerOptions
  readonly #datagrams: Datagrams = createSocket('udp4')
  readonly #server: Server
  readonly #callers = new Set<Socket>()
  #pending = 0

  private constructor(options: NameServerOptions) {
    this.#options = options
    this.#server = createServer((caller) => this.#take(caller))
    // The container's end may come at any instant.
    this.#datagrams.on('error', () => undefined)
    this.#server.on('error', () => undefined)
  }

  static async start(options: NameServerOptions): Promise<NameServer> {
    const made = new NameServer(options)
    made.#datagrams.on('message', (message, from) => void made.#datagram(message, from))
    const listening = once(made.#datagrams, 'listening')
    made.#datagrams.bind({ fd: options.udp, exclusive: true })
    await listening
    const failure = addon().network.keepPort(options.udp)
    if (failure) {
      made.#datagrams.close()
      addon().closeFd(options.tcp)
      throw errorFromFailure(failure)
    }
    made.#server.maxConnections = CALLERS_MAX
    made.#server.listen({ fd: options.tcp, exclusive: true })
    await once(made.#server, 'listening')
    made.#datagrams.unref()
    made.#server.unref()
    return made
  }

  async #datagram(message: Buffer, { address, port }: RemoteInfo): Promise<void> {
    const reply = await this.#reply(message)
    if (reply && !this.#closed) this.#datagrams.send(reply, port, address, () => undefined)
  }

  async #reply(message: Buffer): Promise<Buffer | undefined> {
    const question = parseQuestion(message)
    if (!question || this.#pending >= PENDING_MAX) return undefined
    this.#pending++
    try {
      return await this.#answer(message, question)
    } finally {
      this.#pending--
    }
  }

  async #answer(message: Buffer, question: Question): Promise<Buffer> {
    const { look, addressOf, ipv6 } = this.#options
    const { name, type, internet, opcode } = question
    if (opcode !== 0 || !internet) return answer(message, question, CODE.notImplemented)
    // Names that no program means (bytes, spaces) exist nowhere.
    if (!/^[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?$/.test(name)) return answer(message, question, CODE.noName)
    const named = await look(name)
    if (named !== 'there') return answer(message, question, named === 'none' ? CODE.noName : CODE.failed)
    if (type === TYPE.A || type === TYPE.ANY) return answer(message, question, CODE.ok, [addressOf(name, 4)])
    if (type === TYPE.AAAA && ipv6) return answer(message, question, CODE.ok, [addressOf(name, 6)])
    // It is there, and has nothing of this type: texts and the like carry what we do not know.
    return answer(message, question, CODE.ok)
  }

  /** One question after the other, each behind its length (RFC 7766). */
  #take(caller: Socket): void {
    let read: Buffer = Buffer.alloc(0)
    let answering = false
    this.#callers.add(caller)
    caller.unref()
    caller.setTimeout(CALL_MS, () => caller.destroy())
    caller.on('error', () => undefined)
    caller.on('close', () => this.#callers.delete(caller))
    const next = async (): Promise<void> => {
      if (answering || read.length < 2) return
      const length = read.readUInt16BE(0)
      if (read.length < length + 2) return
      answering = true
      const message = read.subarray(2, length + 2)
      read = read.subarray(length + 2)
      caller.pause()
      const reply = await this.#reply(message)
      answering = false
      if (!reply || caller.destroyed) return void caller.destroy()
      const size = Buffer.alloc(2)
      size.writeUInt16BE(reply.length)
      // Who does not read its answers asks no more.
      if (!caller.write(Buffer.concat([size, reply]))) await once(caller, 'drain').catch(() => undefined)
      caller.resume()
      await next()
    }
    caller.on('data', (data) => {
      read = read.length === 0 ? data : Buffer.concat([read, data])
      void next()
    })
  }

  #closed = false

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#datagrams.close()
    this.#server.close()
    for (const caller of this.#callers) caller.destroy()
  }
}
