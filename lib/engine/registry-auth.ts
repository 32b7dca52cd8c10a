/** Credentials in the header X-Registry-Auth: JSON in base64url with padding, and nothing behind it. */
import type { Credentials } from '../registry/auth-file.js'
import { Fields } from '../spec/fields.js'
import type { Json } from '../spec/json.js'
import { BODY, badRequest } from './failure.js'

const HEADER = 'X-Registry-Auth'

/** undefined: none are given, and those that are kept on this machine are used. */
export function registryAuth(header: string | string[] | undefined): Credentials | undefined {
  if (typeof header !== 'string' || header === '') return undefined
  return credentialsOf(decoded(header, HEADER), HEADER)
}

/** The object in such a header. */
export function decoded(header: string, name: string): Json {
  const invalid = (why: string) => badRequest(`invalid ${name} header: ${why}`)
  if (!/^[A-Za-z0-9_-]+={0,2}$/.test(header) || header.length % 4 !== 0)
    throw invalid('must be a valid base64url-encoded string')
  let value: unknown
  try {
    value = JSON.parse(Buffer.from(header, 'base64url').toString('utf8'))
  } catch {
    throw invalid('it is not one JSON document')
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid('it is not a JSON object')
  return value as Json
}

/** undefined: it has none. */
export function credentialsOf(object: Json, header: string): Credentials | undefined {
  const fields = new Fields(object, BODY, `${header}: `)
  const given = {
    username: fields.text('username'),
    password: fields.text('password'),
    identityToken: fields.text('identitytoken'),
    registryToken: fields.text('registrytoken'),
  }
  const said = Object.entries(given).filter(([, text]) => text)
  return said.length > 0 ? Object.fromEntries(said) : undefined
}
