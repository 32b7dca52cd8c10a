/** What is sent to one server as proof of who we are: nothing, until it asks. */
import type { AddressKind } from './address.js'
import type { Credentials } from './auth-file.js'
import { type Challenge, parseChallenges } from './challenge.js'
import { LOGIN, protocolError, RegistryError, shown } from './failure.js'
import { checkRealm, isTrusted } from './realm.js'
import { mergeScopes, missingScopes } from './scopes.js'
import { Shared } from './shared.js'
import { basicAuthorization, requestToken, type Token } from './token.js'
import type { HttpRequest, HttpResponse } from './transport.js'

export interface AuthenticatorOptions {
  /** Asked only when the server wants to know, and once more when it refuses what was known for a while. */
  credentials: (signal?: AbortSignal) => Promise<Credentials | undefined>
  /** Token servers that are trusted wherever they are. */
  trusted: ReadonlySet<string>
  /** Sends a request to a server that the registry names; `from` is where the registry is. */
  send: (request: Omit<HttpRequest, 'target'>, url: URL, from: AddressKind | undefined) => Promise<HttpResponse>
}

interface Bearer {
  kind: 'bearer'
  realm: string
  service?: string
}
type Scheme = { kind: 'basic' } | Bearer

/** A registry asks for one or two scopes; one that asks for more is not followed. */
const SCOPES_MAX = 16

/** Milliseconds for which credentials are not asked for once more when they are refused. */
const FRESH = 1000

export class Authenticator {
  readonly #options: AuthenticatorOptions
  #scheme: Scheme | undefined
  #from: AddressKind | undefined
  #credentials: Promise<Credentials | undefined> | undefined
  /** When they were asked for, by performance.now(). */
  #asked = 0
  #refreshToken: string | undefined
  readonly #tokens = new Map<string, Token>()
  readonly #underWay = new Map<string, Shared<string>>()
  /** All that must not be in an error's text. */
  readonly secrets = new Set<string>()

  constructor(options: AuthenticatorOptions) {
    this.#options = options
  }

  /** The header for a request that needs `scopes`; undefined: none is known to be wanted. */
  async authorization(registry: URL, scopes: readonly string[], signal?: AbortSignal): Promise<string | undefined> {
    if (!this.#scheme) return undefined
    const credentials = await this.#ask(signal)
    if (credentials?.registryToken) return `Bearer ${credentials.registryToken}`
    if (this.#scheme.kind === 'bearer') return `Bearer ${await this.#token(registry, this.#scheme, scopes, signal)}`
    if (credentials?.username === undefined)
      throw new RegistryError('ERR_CAISSON_REGISTRY_AUTH', `${shown(registry)}: it wants a user and a password`, {
        hint: LOGIN,
        status: 401,
      })
    return basicAuthorization(credentials)
  }

  /**
   * Learns from a 401. Returns the scopes to ask with, or undefined when asking again cannot help.
   *
   * @param sent the header that was refused.
   * @param from where the registry is; undefined when that cannot be known.
   */
  learn(
    registry: URL,
    header: string | string[] | undefined,
    scopes: readonly string[],
    sent: string | undefined,
    from: AddressKind | undefined,
  ): string[] | undefined {
    const challenges = parseChallenges(header)
    const bearer = challenges.find(({ scheme, params }) => scheme === 'bearer' && params.realm)
    const basic = challenges.some(({ scheme }) => scheme === 'basic')
    if (!bearer && !basic) throw protocolError(registry, 'it answers 401 and asks neither for Basic nor for Bearer')
    this.#from = from
    this.#scheme = bearer ? schemeOf(bearer) : { kind: 'basic' }
    if (sent !== undefined) {
      const refused = sent.replace(/^Bearer /, '')
      const known = [...this.#tokens].find(([, { value }]) => value === refused)
      // They may have been changed since, by whoever keeps them: a helper, the caller, a user who logged in again.
      const old = performance.now() - this.#asked > FRESH
      if (old) this.#forget()
      // Of what does not expire another try gives the same answer.
      if (!known && !old) return undefined
      if (known) this.#tokens.delete(known[0])
    }
    const asked = (bearer?.params.scope ?? '').split(' ').filter((scope) => scope !== '')
    return mergeScopes(scopes, missingScopes(scopes, asked.slice(0, SCOPES_MAX)))
  }

  async #token(registry: URL, scheme: Bearer, scopes: readonly string[], signal?: AbortSignal): Promise<string> {
    const sorted = mergeScopes(scopes)
    const key = [scheme.realm, scheme.service ?? '', ...sorted].join('\n')
    const known = this.#tokens.get(key)
    if (known && performance.now() < known.until) return known.value
    let shared = this.#underWay.get(key)
    if (!shared || shared.stopping) {
      shared = new Shared(async (stop) => {
        const token = await this.#fetchToken(registry, scheme, sorted, stop)
        this.#tokens.set(key, token)
        return token.value
      })
      this.#underWay.set(key, shared)
      const made = shared
      void made.settled.then(() => this.#underWay.get(key) === made && this.#underWay.delete(key))
    }
    return shared.wait(signal)
  }

  async #fetchToken(registry: URL, scheme: Bearer, scopes: string[], signal: AbortSignal): Promise<Token> {
    const realm = checkRealm(scheme.realm, { registry, trusted: this.#options.trusted })
    const from = isTrusted(realm, registry, this.#options.trusted) ? undefined : this.#from
    const credentials = await this.#ask(signal)
    const refreshed = this.#refreshToken === undefined ? credentials : { identityToken: this.#refreshToken }
    const token = await requestToken(
      (request, url) => this.#options.send({ ...request, signal }, url, from),
      { realm, service: scheme.service, scopes, credentials: refreshed },
      this.secrets,
    )
    this.secrets.add(token.value)
    if (token.refreshToken !== undefined && credentials?.identityToken !== undefined) {
      this.#refreshToken = token.refreshToken
      this.secrets.add(token.refreshToken)
    }
    return token
  }

  #forget(): void {
    this.#credentials = undefined
    this.#refreshToken = undefined
  }

  async #ask(signal?: AbortSignal): Promise<Credentials | undefined> {
    if (!this.#credentials) {
      this.#credentials = this.#options.credentials(signal)
      this.#asked = performance.now()
    }
    try {
      const credentials = await this.#credentials
      for (const name of ['password', 'identityToken', 'registryToken'] as const)
        if (credentials?.[name]) this.secrets.add(credentials[name])
      if (credentials?.password) this.secrets.add(basicAuthorization(credentials).slice('Basic '.length))
      return credentials
    } catch (error) {
      this.#credentials = undefined
      throw error
    }
  }
}

function schemeOf({ params }: Challenge): Scheme {
  const { realm, service } = params
  return { kind: 'bearer', realm: realm as string, ...(service === undefined ? {} : { service }) }
}
