/**
 * Errors. Every failure of caisson is a CaissonError with a stable `code`, the `stage` at which it happened, a `hint`
 * that says what to do, and, where a system call failed, that call as `cause`.
 */

/** The codes. A code never changes its meaning; new ones may be added. */
export type ErrorCode =
  | 'ERR_CAISSON_INVALID_ARGUMENT'
  | 'ERR_CAISSON_UNSUPPORTED_PLATFORM'
  | 'ERR_CAISSON_UNSUPPORTED'
  | 'ERR_CAISSON_IMAGE_NOT_FOUND'
  | 'ERR_CAISSON_CONTAINER_NOT_FOUND'
  | 'ERR_CAISSON_NAME_IN_USE'
  | 'ERR_CAISSON_INVALID_STATE'
  | 'ERR_CAISSON_COMMAND_NOT_FOUND'
  | 'ERR_CAISSON_COMMAND_NOT_EXECUTABLE'
  | 'ERR_CAISSON_COMMAND_FAILED'
  | 'ERR_CAISSON_USER_NOT_FOUND'
  | 'ERR_CAISSON_MOUNT_SOURCE_NOT_FOUND'
  | 'ERR_CAISSON_MOUNT'
  | 'ERR_CAISSON_ROOTFS'
  | 'ERR_CAISSON_PERMISSION'
  | 'ERR_CAISSON_LIMIT_UNAVAILABLE'
  | 'ERR_CAISSON_CGROUP'
  | 'ERR_CAISSON_NAMESPACE'
  | 'ERR_CAISSON_SECURITY_UNAVAILABLE'
  | 'ERR_CAISSON_RESOURCE_EXHAUSTED'
  | 'ERR_CAISSON_TIMEOUT'
  | 'ERR_CAISSON_ABORTED'
  | 'ERR_CAISSON_FILE'
  | 'ERR_CAISSON_BUNDLE'
  | 'ERR_CAISSON_HOOK'
  | 'ERR_CAISSON_WAIT'
  | 'ERR_CAISSON_LAYER'
  | 'ERR_CAISSON_LAYER_LIMIT'
  | 'ERR_CAISSON_DIGEST'
  | 'ERR_CAISSON_NETWORK'
  | 'ERR_CAISSON_NETWORK_NOT_FOUND'
  | 'ERR_CAISSON_SUBNET_IN_USE'
  | 'ERR_CAISSON_ADDRESS_IN_USE'
  | 'ERR_CAISSON_PORT_IN_USE'
  | 'ERR_CAISSON_IN_USE'
  | 'ERR_CAISSON_VOLUME_NOT_FOUND'
  | 'ERR_CAISSON_MANIFEST'
  | 'ERR_CAISSON_STORE'
  | 'ERR_CAISSON_IMAGE_ARCHIVE'
  | 'ERR_CAISSON_IMAGE_IN_USE'
  | 'ERR_CAISSON_REGISTRY'
  | 'ERR_CAISSON_REGISTRY_UNREACHABLE'
  | 'ERR_CAISSON_REGISTRY_AUTH'
  | 'ERR_CAISSON_REGISTRY_DENIED'
  | 'ERR_CAISSON_REGISTRY_LIMIT'
  | 'ERR_CAISSON_REGISTRY_UNSAFE'
  | 'ERR_CAISSON_REGISTRY_CONFIG'
  | 'ERR_CAISSON_DOCKERFILE'
  | 'ERR_CAISSON_COMPOSE'
  | 'ERR_CAISSON_DEPENDENCY'
  | 'ERR_CAISSON_SYSTEM'

/** The system call behind an error, in the shape of Node's own system errors. */
export interface SystemCause {
  code: string
  errno: number
  syscall: string
  path?: string
}

/** Where in a text file an error lies. Lines and columns count from 1. */
export interface SourceLocation {
  file: string
  line: number
  column: number
  /** The line, and below it carets under what is wrong. */
  excerpt: string
}

export interface CaissonErrorOptions {
  stage?: string
  hint?: string
  cause?: SystemCause | Error
  location?: SourceLocation
}

const BRAND = Symbol.for('caisson.error')

export class CaissonError extends Error {
  readonly code: ErrorCode
  /** The step that failed, as `mounts: /proc` or `image`. */
  readonly stage: string
  /** What to do about it; empty when there is nothing to advise. */
  readonly hint: string
  declare readonly cause?: SystemCause | Error
  /** Set for errors in a text that the caller gave us, as a Dockerfile. */
  declare readonly location?: SourceLocation

  constructor(code: ErrorCode, message: string, options: CaissonErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'CaissonError'
    this.code = code
    this.stage = options.stage ?? ''
    this.hint = options.hint ?? (code === 'ERR_CAISSON_ABORTED' ? 'The signal that was given fired.' : '')
    if (options.location) this.location = options.location
    Object.defineProperty(this, BRAND, { value: true })
  }

  /** True for errors of any copy of this package in the process; of a class derived from this one only its own are. */
  static override [Symbol.hasInstance](value: unknown): boolean {
    // biome-ignore lint/complexity/noThisInStatic: derived classes inherit the question, and are `this` then
    return isInstance(this, value)
  }
}

function isInstance(type: unknown, value: unknown): boolean {
  if (type !== CaissonError) return Function.prototype[Symbol.hasInstance].call(type, value)
  return typeof value === 'object' && value !== null && BRAND in value
}

/** For arguments that the caller got wrong: names the option, what came, and what is wanted. */
export function invalidArgument(option: string, value: unknown, wanted: string): CaissonError {
  return new CaissonError('ERR_CAISSON_INVALID_ARGUMENT', `${option}: ${describe(value)} is not ${wanted}`, {
    stage: 'options',
    hint: `Give ${wanted} for ${option}.`,
  })
}

function describe(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 100 ? `${value.slice(0, 100)}...` : value)
  if (typeof value === 'function') return 'a function'
  if (Array.isArray(value)) return 'an array'
  if (typeof value === 'object' && value !== null) return 'an object'
  return String(value)
}
