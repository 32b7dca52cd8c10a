/** The checks that look at variables. */

import { didYouMean, nearest } from '../../util/suggest.js'
import type { Environment } from './environment.js'
import type { Linter } from './lint.js'
import type { Place } from './place.js'
import { quote } from './text.js'
import type { Token } from './words.js'

const SECRET = /(?:_|^)(?:apikey|auth|credentials?|key|password|pword|passwd|secret|token)(?:_|$)/i
/** Names that say that it is no secret after all, or only where one is. */
const HARMLESS = /(?:_|^)(?:public|file|version)(?:_|$)/i

export function lintSecretName(linter: Linter, place: Place, instruction: 'ARG' | 'ENV', name: string): void {
  if (SECRET.test(name) && !HARMLESS.test(name))
    linter.warn(
      'SecretsUsedInArgOrEnv',
      place,
      `${instruction} ${quote(name)} would stay in the image: give it by RUN --mount=type=secret`,
    )
}

export function lintUndefined(
  linter: Linter,
  place: Place,
  token: Token | undefined,
  names: string[],
  env: Environment,
): void {
  for (const name of names) {
    const meant = nearest(name, env.names())
    const message = `$${name} is not set here${didYouMean(meant && `$${meant}`)}`
    linter.warn('UndefinedVar', place, message, token ? place.spanOf(token) : place.span)
  }
}
