/** Bodies of requests: read to a bound, and as the JSON object that they have to be. */
import type { Readable } from 'node:stream'
import { Fields } from '../spec/fields.js'
import { type Json, parseDocument } from '../spec/json.js'
import type { Call } from './call.js'
import { ApiError, BODY, badRequest } from './failure.js'

/** Bytes of a JSON body; a container with a long seccomp profile has 100 kB. */
export const BODY_MAX = 4 * 1024 * 1024
const DEPTH = 64

/** Throws 413 for a longer one, before it has come. */
export async function readBytes(source: Readable, declared: string | undefined, max = BODY_MAX): Promise<Buffer> {
  if (declared !== undefined && Number(declared) > max) throw tooLong(max)
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of source as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > max) throw tooLong(max)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

/** The object in the body; `undefined` where there is none. */
export async function readObject(call: Call): Promise<Json | undefined> {
  const bytes = await call.body()
  if (bytes.length === 0) return undefined
  // A form of a web page cannot have this type.
  if (!/^application\/json\s*(;|$)/i.test(call.headers['content-type'] ?? ''))
    throw badRequest(`the body has to be application/json, and is ${call.headers['content-type'] ?? 'of no type'}`)
  // Docker's own client writes null for nothing.
  if (bytes.length < 8 && bytes.toString('latin1').trim() === 'null') return undefined
  return parseDocument(bytes, BODY, { bytes: BODY_MAX, depth: DEPTH })
}

export async function requiredObject(call: Call): Promise<Json> {
  const object = await readObject(call)
  if (!object) throw badRequest('the body is missing')
  return object
}

export async function requiredFields(call: Call): Promise<Fields> {
  return fieldsOf(await requiredObject(call))
}

/** @param at where in the body, as `HostConfig.` */
export function fieldsOf(object: Json | undefined, at = ''): Fields {
  return new Fields(object ?? {}, BODY, at)
}

function tooLong(max: number): ApiError {
  return new ApiError(413, `the body has more than ${max} bytes`)
}
