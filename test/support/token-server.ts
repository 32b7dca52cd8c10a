/** A token server as docker-registry wants one: signed tokens for users, for scopes that each may have. */
import { createPrivateKey, createSign, randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { Pair } from './certificates.js'
import { bodyOf, type Seen, serve, type TestServer } from './servers.js'

export interface TokenServer extends TestServer {
  /** Tokens that were given out, with their scopes. */
  given: string[][]
}

export interface TokenServerOptions {
  pair: Pair
  issuer: string
  service: string
  /** Passwords by name. Who has none may pull. */
  users: Record<string, string>
  /** Refresh tokens by user. */
  refreshTokens?: Record<string, string>
  /** Seconds. Default 300. */
  lifetime?: number
}

export async function startTokenServer(options: TokenServerOptions): Promise<TokenServer> {
  const given: string[][] = []
  const server = await serve(async (request, response, _: Seen[]) => {
    const url = new URL(request.url ?? '', 'http://localhost')
    const form = request.method === 'POST' ? new URLSearchParams((await bodyOf(request)).toString()) : undefined
    const user = form ? byRefreshToken(options, form) : byPassword(options, request.headers.authorization)
    if (user === undefined) return void response.writeHead(401).end('{"errors":[{"code":"DENIED"}]}')
    const scopes = form ? (form.get('scope') ?? '').split(' ') : url.searchParams.getAll('scope')
    given.push(scopes)
    const token = sign(options, user, scopes.filter(Boolean))
    response.setHeader('Content-Type', 'application/json')
    response.end(
      JSON.stringify(form ? { access_token: token, expires_in: 300 } : { token, expires_in: options.lifetime ?? 300 }),
    )
  })
  return Object.assign(server, { given })
}

function byPassword({ users }: TokenServerOptions, authorization: string | undefined): string | undefined {
  if (authorization === undefined) return ''
  const [name = '', password] = Buffer.from(authorization.replace('Basic ', ''), 'base64').toString().split(':')
  return users[name] !== undefined && users[name] === password ? name : undefined
}

function byRefreshToken({ refreshTokens = {} }: TokenServerOptions, form: URLSearchParams): string | undefined {
  if (form.get('grant_type') !== 'refresh_token') return undefined
  return Object.keys(refreshTokens).find((name) => refreshTokens[name] === form.get('refresh_token'))
}

function sign({ pair, issuer, service, lifetime = 300 }: TokenServerOptions, user: string, scopes: string[]): string {
  const access = scopes.map((scope) => {
    const [type, name, actions = ''] = scope.split(':')
    return { type, name, actions: actions.split(',').filter((action) => user !== '' || action === 'pull') }
  })
  const now = Math.floor(Date.now() / 1000)
  const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const pem = readFileSync(pair.certificate, 'utf8')
  const der = pem.replace(/-----[A-Z ]+-----|\s/g, '')
  const head = encode({ typ: 'JWT', alg: 'ES256', x5c: [der] })
  const claims = {
    iss: issuer,
    sub: user,
    aud: service,
    exp: now + lifetime,
    nbf: now - 5,
    iat: now,
    jti: randomUUID(),
  }
  const text = `${head}.${encode({ ...claims, access })}`
  const key = createPrivateKey(readFileSync(pair.key))
  const signature = createSign('sha256').update(text).sign({ key, dsaEncoding: 'ieee-p1363' })
  return `${text}.${signature.toString('base64url')}`
}
