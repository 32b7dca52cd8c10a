/** Errors of the command line, in the shape of all others. */
import { CaissonError } from '../errors.js'

/** The caller wrote something that we do not understand, or cannot do. */
export function usageError(message: string, hint: string): CaissonError {
  return new CaissonError('ERR_CAISSON_INVALID_ARGUMENT', message, { stage: 'command line', hint })
}
