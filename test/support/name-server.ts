/** A name server of the tests' own on this machine's loopback, which says what it is told and remembers what it was asked. */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { isIPv4 } from 'node:net'

export interface TestNameServer {
  /** For the option `dns`. */
  address: string
  /** Names, as they came: small and large letters, whatever they are. */
  asked: string[]
  stop(): void
}

const TYPES: Record<number, string> = { 1: 'A', 16: 'TXT', 28: 'AAAA' }

/** `answer` gives addresses; undefined: there is no such name. */
export async function startNameServer(
  answer: (name: string) => readonly string[] | undefined | Promise<readonly string[] | undefined>,
): Promise<TestNameServer> {
  const socket = createSocket('udp4')
  const asked: string[] = []
  socket.on('message', async (query, from) => {
    let at = 12
    const labels: string[] = []
    for (let length = query[at] as number; length; length = query[at] as number) {
      labels.push(query.toString('latin1', at + 1, at + 1 + length))
      at += length + 1
    }
    const end = at + 5
    const type = query.readUInt16BE(at + 1)
    const name = labels.join('.')
    asked.push(`${TYPES[type] ?? type} ${name}`)
    const addresses = await answer(name.toLowerCase())
    const fitting = (addresses ?? []).filter((each) => type === (isIPv4(each) ? 1 : 28))
    const head = Buffer.from(query.subarray(0, end))
    head.writeUInt16BE(addresses ? 0x8180 : 0x8183, 2)
    head.writeUInt16BE(fitting.length, 6)
    head.writeUInt32BE(0, 8)
    const records = fitting.map((each) => {
      const bytes = isIPv4(each) ? Buffer.from(each.split('.').map(Number)) : v6(each)
      const start = Buffer.from([0xc0, 12, 0, type, 0, 1, 0, 0, 0, 0, 0, bytes.length])
      return Buffer.concat([start, bytes])
    })
    socket.send(Buffer.concat([head, ...records]), from.port, from.address)
  })
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  return { address: `127.0.0.1:${socket.address().port}`, asked, stop: () => socket.close() }
}

/** Written with all eight groups, or with `::`. */
function v6(text: string): Buffer {
  const [head = '', tail = ''] = text.split('::')
  const words = (part: string) => part.split(':').filter(Boolean)
  const zeros = Array<string>(8 - words(head).length - words(tail).length).fill('0')
  const all = [...words(head), ...zeros, ...words(tail)]
  return Buffer.from(all.map((word) => word.padStart(4, '0')).join(''), 'hex')
}
