/** What went wrong with a registry, as errors with advice. */
import { CaissonError, type CaissonErrorOptions, type ErrorCode, type SystemCause } from '../errors.js'
import { printable, redactUrl, withoutSecrets } from './redact.js'

/** An error, and what the loop that tries again needs to know of it. */
export class RegistryError extends CaissonError {
  /** Whether the same request may succeed a little later. */
  readonly transient: boolean
  /** Milliseconds that the server wants to be left alone, where it said so. */
  readonly retryAfter?: number
  /** Of the answer, where there was one. */
  readonly status?: number

  constructor(
    code: ErrorCode,
    message: string,
    options: CaissonErrorOptions & { transient?: boolean; retryAfter?: number; status?: number } = {},
  ) {
    super(code, message, { stage: 'registry', ...options })
    this.transient = options.transient ?? false
    if (options.retryAfter !== undefined) this.retryAfter = options.retryAfter
    if (options.status !== undefined) this.status = options.status
  }
}

export function isTransient(error: unknown): boolean {
  return error instanceof CaissonError && (error as Partial<RegistryError>).transient === true
}

export function statusOf(error: unknown): number | undefined {
  return error instanceof CaissonError ? (error as Partial<RegistryError>).status : undefined
}

/** A server that does not keep to the protocol. */
export function protocolError(url: URL, what: string): RegistryError {
  return new RegistryError('ERR_CAISSON_REGISTRY', `${shown(url)}: ${printable(what)}`, {
    hint: 'The server does not do what a registry does (OCI distribution specification): check the address.',
  })
}

/** What would carry secrets, or us, to a place that the user did not name. */
export function unsafeError(url: URL, what: string, hint: string): RegistryError {
  return new RegistryError('ERR_CAISSON_REGISTRY_UNSAFE', `${shown(url)}: ${printable(what)}`, { hint })
}

export function digestError(what: string, message: string): RegistryError {
  return new RegistryError('ERR_CAISSON_DIGEST', `${what}: ${message}`, {
    hint: 'The content is not what was promised: fetch it again, or from another place.',
  })
}

const SPOILT = new Set<unknown>(['ERR_CAISSON_DIGEST', 'ERR_CAISSON_LAYER', 'ERR_CAISSON_LAYER_LIMIT'])

/** Whether content is not what was promised: what cannot be unpacked is often that, and says so before its digest can. */
export function isSpoilt(error: unknown): boolean {
  return SPOILT.has((error as { code?: unknown } | undefined)?.code)
}

export function timeoutError(url: URL, what: string): RegistryError {
  return new RegistryError('ERR_CAISSON_TIMEOUT', `${shown(url)}: ${what}`, {
    hint: 'The registry, or the network to it, is too slow: try again, or give longer timeouts.',
    transient: true,
  })
}

export function abortedError(): CaissonError {
  return new CaissonError('ERR_CAISSON_ABORTED', 'registry: aborted by its signal', { stage: 'registry' })
}

export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw abortedError()
}

export function shown(url: URL): string {
  return redactUrl(url.href)
}

const UNREACHABLE: Record<string, string> = {
  ENOTFOUND: 'The name does not exist: check its spelling, and the name server.',
  EAI_AGAIN: 'The name server does not answer: check the network.',
  ECONNREFUSED: 'Nothing listens there: check host and port, and that the registry runs.',
  EHOSTUNREACH: 'There is no route to it: check the network.',
  ENETUNREACH: 'There is no route to it: check the network.',
  ECONNRESET: 'The connection was cut: try again.',
  EPIPE: 'The connection was cut: try again.',
}

const TRANSIENT = new Set(['ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'EAI_AGAIN', 'ECONNABORTED', 'HPE_INVALID_EOF_STATE'])

/** Of Node's errors in connecting and transferring; CaissonErrors stay what they are. */
export function networkError(url: URL, error: unknown): CaissonError {
  if (error instanceof CaissonError) return error
  const { code = '', message, syscall } = error as NodeJS.ErrnoException
  const options = { cause: systemCause(error), transient: TRANSIENT.has(code) }
  const noTls = speaksNoTls(error)
  if (code.startsWith('HPE_')) return protocolError(url, `what it answers is not HTTP: ${message}`)
  if (noTls || isTlsCode(code))
    return new RegistryError('ERR_CAISSON_REGISTRY_UNREACHABLE', `${shown(url)}: TLS: ${code}`, {
      ...options,
      hint: noTls
        ? 'It does not speak TLS: if it is meant to be without, name it in insecure-registries.'
        : 'The certificate is not trusted: put the CA of the registry into certs.d/HOST[:PORT]/ca.crt.',
    })
  return new RegistryError(
    'ERR_CAISSON_REGISTRY_UNREACHABLE',
    `${shown(url)}: ${syscall ? `${syscall}: ` : ''}${code || printable(message)}`,
    { ...options, hint: UNREACHABLE[code] ?? 'Check the network, and proxies in the environment.' },
  )
}

/** What comes from a server that answers a TLS greeting with something else. */
export function speaksNoTls(error: unknown): boolean {
  const { code = '' } = (error ?? {}) as { code?: string }
  return code === 'EPROTO' || code === 'ERR_SSL_WRONG_VERSION_NUMBER' || code === 'ERR_SSL_PACKET_LENGTH_TOO_LONG'
}

function isTlsCode(code: string): boolean {
  return /^(CERT_|DEPTH_|SELF_SIGNED|UNABLE_TO_|ERR_TLS_|ERR_SSL_|HOSTNAME_MISMATCH|INVALID_)/.test(code)
}

function systemCause(error: unknown): SystemCause | Error | undefined {
  if (typeof error !== 'object' || error === null) return undefined
  const { code, errno, syscall } = error as NodeJS.ErrnoException
  return code && typeof errno === 'number' && syscall ? { code, errno, syscall } : (error as Error)
}

const RETRY_AFTER_LONGEST = 60_000

interface Answer {
  status: number
  url: URL
  retryAfter?: string
  /** Beginning of the body. */
  text: string
}

/** Of an answer that is not what was asked for; `secrets` are taken out of what the server says. */
export function statusError(answer: Answer, what: string, secrets: Iterable<string>): RegistryError {
  const { status, url } = answer
  const said = withoutSecrets(serverMessage(answer.text), secrets)
  const message = `${what}: ${status} from ${shown(url)}${said && `: ${printable(said)}`}`
  const made = (code: ErrorCode, hint: string, transient = false, retryAfter?: number) =>
    new RegistryError(code, message, { hint, transient, retryAfter, status })
  switch (status) {
    case 401:
      return made('ERR_CAISSON_REGISTRY_AUTH', LOGIN)
    case 403:
      return made(
        'ERR_CAISSON_REGISTRY_DENIED',
        'This user may not do that there: check the name, and what the account may do.',
      )
    case 404:
      return made(
        'ERR_CAISSON_IMAGE_NOT_FOUND',
        'The registry has no such thing: check name, tag and digest. Some say this also of what needs a login.',
      )
    case 429: {
      const wait = retryAfterMs(answer.retryAfter)
      const soon = wait === undefined || wait <= RETRY_AFTER_LONGEST
      return made(
        'ERR_CAISSON_REGISTRY_LIMIT',
        'The registry wants fewer requests: wait, log in, or use a mirror.',
        soon,
        wait,
      )
    }
  }
  if (status === 408 || (status >= 500 && status !== 501 && status !== 505)) {
    const wait = retryAfterMs(answer.retryAfter)
    const soon = wait === undefined || wait <= RETRY_AFTER_LONGEST
    return made('ERR_CAISSON_REGISTRY', 'The registry is in trouble: try again later.', soon, wait)
  }
  return made('ERR_CAISSON_REGISTRY', 'The registry refuses the request: see what it says.')
}

export const LOGIN =
  'The registry wants a login, or does not accept this one: give auth, or log in (caisson login, docker login).'

/** The messages of the errors that a registry reports (distribution specification, "Error Codes"). */
function serverMessage(text: string): string {
  try {
    const { errors } = JSON.parse(text) as { errors?: Array<{ code?: unknown; message?: unknown }> }
    return (errors ?? [])
      .slice(0, 3)
      .map(({ code, message }) => [code, message].filter((part) => typeof part === 'string' && part !== '').join(': '))
      .join('; ')
  } catch {
    return ''
  }
}

/** Seconds, or a date (RFC 9110, 10.2.3). */
export function retryAfterMs(header: string | undefined, now = Date.now()): number | undefined {
  if (header === undefined) return undefined
  if (/^\d{1,9}$/.test(header.trim())) return Number(header) * 1000
  const date = Date.parse(header)
  return Number.isNaN(date) ? undefined : Math.max(0, date - now)
}
