/** Failures as the API tells them: a status, and an object with the message. */
import { CaissonError, type ErrorCode, type SystemCause } from '../errors.js'

/** A failure of the request itself. */
export class ApiError extends Error {
  readonly status: number

  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

export const badRequest = (message: string) => new ApiError(400, message)
export const notImplemented = (what: string, hint = '') =>
  new ApiError(501, `${what} is not part of caisson's engine API${hint ? `. ${hint}` : ''}`)

/** In errors of a body that was sent: its JSON (spec/json.ts) and its fields. */
export const BODY = 'request body'
/** The same of a query. */
export const QUERY = 'query'

const STATUS: Partial<Record<ErrorCode, number>> = {
  ERR_CAISSON_INVALID_ARGUMENT: 400,
  ERR_CAISSON_IMAGE_NOT_FOUND: 404,
  ERR_CAISSON_CONTAINER_NOT_FOUND: 404,
  ERR_CAISSON_NETWORK_NOT_FOUND: 404,
  ERR_CAISSON_VOLUME_NOT_FOUND: 404,
  ERR_CAISSON_NAME_IN_USE: 409,
  ERR_CAISSON_INVALID_STATE: 409,
  ERR_CAISSON_IN_USE: 409,
  ERR_CAISSON_IMAGE_IN_USE: 409,
  ERR_CAISSON_COMMAND_NOT_FOUND: 400,
  ERR_CAISSON_COMMAND_NOT_EXECUTABLE: 400,
  ERR_CAISSON_USER_NOT_FOUND: 400,
  ERR_CAISSON_MOUNT_SOURCE_NOT_FOUND: 400,
  ERR_CAISSON_DOCKERFILE: 400,
  ERR_CAISSON_IMAGE_ARCHIVE: 400,
  ERR_CAISSON_LAYER: 400,
  ERR_CAISSON_LAYER_LIMIT: 400,
  ERR_CAISSON_REGISTRY_AUTH: 401,
  ERR_CAISSON_UNSUPPORTED: 501,
}

/** Of files inside containers, by what the system said. */
const FILE_STATUS: Record<string, number> = { ENOENT: 404, ENOTDIR: 400, EISDIR: 400, EROFS: 403, EACCES: 403 }

/** docker run ends with 127 and 126 when it reads these words. */
const WORDS: Partial<Record<ErrorCode, string>> = {
  ERR_CAISSON_COMMAND_NOT_FOUND: 'executable file not found in the container',
  ERR_CAISSON_COMMAND_NOT_EXECUTABLE: 'permission denied',
}

export interface Failure {
  status: number
  message: string
}

/** What a client is told. Of what nobody has foreseen it is the message alone, not where in our code it was. */
export function failureOf(error: unknown): Failure {
  if (error instanceof ApiError) return { status: error.status, message: error.message }
  if (!(error instanceof CaissonError))
    return { status: 500, message: (error as Error | undefined)?.message || 'it failed' }
  const { code, stage, message, hint, cause } = error
  if (stage === BODY || stage === QUERY) return { status: 400, message }
  const words = WORDS[code] ? `: ${WORDS[code]}` : ''
  const system = code === 'ERR_CAISSON_FILE' ? FILE_STATUS[(cause as SystemCause | undefined)?.code ?? ''] : undefined
  return { status: system ?? STATUS[code] ?? 500, message: `${message}${words}${hint ? `\n${hint}` : ''}` }
}
