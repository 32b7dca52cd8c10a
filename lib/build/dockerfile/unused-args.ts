/** Build arguments that nothing in a file asks for: mostly misspelt ones. */
import { didYouMean, nearest } from '../../util/suggest.js'
import { isProxyArg } from './global-args.js'
import type { Instruction } from './instruction.js'

export interface UnusedArg {
  name: string
  message: string
}

/**
 * @param given the names that the caller set.
 * @param globals what is declared above the first FROM, and what is predefined.
 * @param instructions of the stages that are built.
 */
export function unusedArgs(
  given: Iterable<string>,
  globals: Iterable<string>,
  instructions: Iterable<Instruction>,
): UnusedArg[] {
  // The time of the image, also without an ARG.
  const asked = new Set(['SOURCE_DATE_EPOCH', ...globals])
  for (const each of instructions) if (each.name === 'ARG') for (const { key } of each.args) asked.add(key)
  return [...given]
    .filter((name) => !asked.has(name) && !isProxyArg(name))
    .map((name) => ({
      name,
      message: `the build argument ${name} is not used: no ARG of what is built has that name${didYouMean(nearest(name, asked))}`,
    }))
}
