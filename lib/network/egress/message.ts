/** Messages of the domain name system (RFC 1035): one question, and answers that are addresses. Pure. */
import { type Address, parseAddress } from '../addresses.js'

export const TYPE = { A: 1, AAAA: 28, ANY: 255 } as const
export const CODE = { ok: 0, failed: 2, noName: 3, notImplemented: 4 } as const

const HEADER = 12
const LABEL_MAX = 63
const NAME_MAX = 255
/** A question is small; what is larger asks for trouble. */
const QUERY_MAX = 4096
const INTERNET = 1
/** Seconds. An address stands for its name as long as that is among the last thousands. */
const TTL = 30

export interface Question {
  /** In small letters, without a dot at the end. */
  name: string
  type: number
  internet: boolean
  /** It asks for more than an answer: updates and the like. */
  opcode: number
  /** Where the question ends in the message. */
  end: number
}

/** undefined for what is no plain question: it is not answered. */
export function parseQuestion(message: Buffer): Question | undefined {
  if (message.length < HEADER + 5 || message.length > QUERY_MAX) return undefined
  const flags = message.readUInt16BE(2)
  const answerOrCut = 0x8200
  if (flags & answerOrCut || message.readUInt16BE(4) !== 1 || message.readUInt16BE(6) !== 0) return undefined
  const labels: string[] = []
  let at = HEADER
  for (;;) {
    const length = message[at++]
    if (length === undefined || length > LABEL_MAX || at + length > message.length) return undefined
    if (length === 0) break
    if (at + length - HEADER > NAME_MAX) return undefined
    labels.push(message.toString('latin1', at, at + length).toLowerCase())
    at += length
  }
  if (at + 4 > message.length) return undefined
  return {
    name: labels.join('.'),
    type: message.readUInt16BE(at),
    internet: message.readUInt16BE(at + 2) === INTERNET,
    opcode: (flags >> 11) & 15,
    end: at + 4,
  }
}

/** `message` is the whole question. */
export function answer(message: Buffer, question: Question, code: number, addresses: readonly string[] = []): Buffer {
  const head = Buffer.from(message.subarray(0, question.end))
  const opcodeAndRecursion = 0x7900
  head.writeUInt16BE(0x8080 | (message.readUInt16BE(2) & opcodeAndRecursion) | code, 2)
  head.writeUInt16BE(addresses.length, 6)
  head.writeUInt32BE(0, 8)
  return Buffer.concat([head, ...addresses.map(record)])
}

function record(text: string): Buffer {
  const { family, value } = parseAddress(text) as Address
  const size = family === 4 ? 4 : 16
  const bytes = Buffer.alloc(12 + size)
  bytes.writeUInt16BE(0xc000 | HEADER, 0) // the name of the question
  bytes.writeUInt16BE(family === 4 ? TYPE.A : TYPE.AAAA, 2)
  bytes.writeUInt16BE(INTERNET, 4)
  bytes.writeUInt32BE(TTL, 6)
  bytes.writeUInt16BE(size, 10)
  bytes.write(value.toString(16).padStart(size * 2, '0'), 12, 'hex')
  return bytes
}
