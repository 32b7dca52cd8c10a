/** Tokens: asked of the token server that a registry names (distribution's token and OAuth 2 specifications). */
import type { Credentials } from './auth-file.js'
import { protocolError, RegistryError, statusError } from './failure.js'
import type { HttpRequest, HttpResponse } from './transport.js'

export interface Token {
  value: string
  /** By performance.now(): from then on another one is asked for. */
  until: number
  /** To be used instead of the one that was sent. */
  refreshToken?: string
}

export interface TokenRequest {
  realm: URL
  service: string | undefined
  scopes: readonly string[]
  credentials: Credentials | undefined
}

const ANSWER_MAX = 1024 * 1024
/** What a token without a time is good for, and no token less (token specification, "expires_in"). */
const LIFETIME_LEAST = 60
const LIFETIME_MOST = 24 * 3600
const MARGIN_MOST = 30_000

type Send = (request: Omit<HttpRequest, 'target'>, url: URL) => Promise<HttpResponse>

export async function requestToken(send: Send, request: TokenRequest, secrets: Iterable<string>): Promise<Token> {
  const { realm, credentials } = request
  const asked = performance.now()
  const response = credentials?.identityToken
    ? await send(refreshRequest(request, credentials.identityToken), realm)
    : await send(plainRequest(credentials), withQuery(request))
  if (response.status !== 200) {
    const text = await response.body.beginning(8192)
    const { status, url } = response
    const retryAfter = response.headers['retry-after']
    const error = statusError({ status, url, text, retryAfter }, 'a token', secrets)
    // Which token server there is, and that it knows nothing of our image, is not what "not found" means elsewhere.
    if (status !== 404 && status !== 400) throw error
    throw new RegistryError('ERR_CAISSON_REGISTRY_AUTH', error.message, { hint: error.hint, status })
  }
  return parseToken(await response.body.bytes(ANSWER_MAX, 'the answer of the token server'), realm, asked)
}

function plainRequest(credentials: Credentials | undefined): Omit<HttpRequest, 'target'> {
  return {
    method: 'GET',
    headers: credentials?.username === undefined ? {} : { Authorization: basicAuthorization(credentials) },
  }
}

function withQuery({ realm, service, scopes, credentials }: TokenRequest): URL {
  const url = new URL(realm)
  if (service !== undefined) url.searchParams.set('service', service)
  for (const scope of scopes) url.searchParams.append('scope', scope)
  if (credentials?.username !== undefined) url.searchParams.set('account', credentials.username)
  return url
}

function refreshRequest({ service, scopes }: TokenRequest, refreshToken: string): Omit<HttpRequest, 'target'> {
  const form = new URLSearchParams({
    grant_type: 'refresh_token',
    client_id: 'caisson',
    refresh_token: refreshToken,
    ...(service === undefined ? {} : { service }),
    ...(scopes.length === 0 ? {} : { scope: scopes.join(' ') }),
  })
  return {
    method: 'POST',
    headers: { 'Content-Type': 'application/x-www-form-urlencoded' },
    body: Buffer.from(form.toString()),
  }
}

export function basicAuthorization({ username = '', password = '' }: Credentials): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
}

/** @param asked when it was asked for, by performance.now(): the server's clock may be another. */
export function parseToken(bytes: Uint8Array, realm: URL, asked: number): Token {
  let answer: Record<string, unknown>
  try {
    answer = JSON.parse(Buffer.from(bytes).toString('utf8')) ?? {}
  } catch {
    throw protocolError(realm, 'the answer of the token server is not JSON')
  }
  const value = answer.token || answer.access_token
  // It becomes a header: nothing in it may end that.
  if (typeof value !== 'string' || !/^[\x21-\x7e]+$/.test(value))
    throw protocolError(realm, 'the answer of the token server has no token in it')
  const lifetime = typeof answer.expires_in === 'number' ? answer.expires_in : LIFETIME_LEAST
  const bounded = Math.min(Math.max(lifetime, LIFETIME_LEAST), LIFETIME_MOST) * 1000
  const until = asked + bounded - Math.min(bounded / 10, MARGIN_MOST)
  const refreshToken = answer.refresh_token
  return { value, until, ...(typeof refreshToken === 'string' && refreshToken !== '' ? { refreshToken } : {}) }
}
