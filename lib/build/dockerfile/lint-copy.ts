/** The check that looks at what COPY and ADD cannot find in the context. */
import type { EvaluationContext } from './evaluation.js'
import type { Add, Copy } from './instruction.js'
import { cleanPath, quote } from './text.js'
import type { Token } from './words.js'

/** Patterns that leave nothing over. */
const EVERYTHING = new Set(['*', '**', '**/*'])

export function lintIgnored(
  { build }: EvaluationContext,
  { name, place }: Copy | Add,
  token: Token,
  source: string,
): void {
  const { ignore, linter } = build
  // With exceptions only a look at the files could tell.
  if (!ignore || ignore.hasExceptions || source.includes('://')) return
  const path = cleanPath(source)
  const isRoot = path === '.' || path === '/'
  if (isRoot ? ignore.patterns.some((pattern) => EVERYTHING.has(pattern)) : ignore.matches(path))
    linter.warn(
      'CopyIgnoredFile',
      place,
      `${name} cannot find ${quote(path)}: .dockerignore leaves it out`,
      place.spanOf(token),
    )
}
