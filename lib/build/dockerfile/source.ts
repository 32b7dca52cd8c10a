/** Errors of the language, and the places that they point at. */
import { CaissonError } from '../../errors.js'
import { printable } from '../../util/source-file.js'

export { type Position, SourceFile, type Span } from '../../util/source-file.js'

const STAGE = 'dockerfile'

/** An error of the language, not yet placed: whoever knows the place adds it by `SourceFile.at`. */
export function fault(message: string, hint = ''): CaissonError {
  return new CaissonError('ERR_CAISSON_DOCKERFILE', printable(clipped(message)), { stage: STAGE, hint })
}

const clipped = (message: string) => (message.length > 1000 ? `${message.slice(0, 1000)}...` : message)
