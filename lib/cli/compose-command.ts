/** What a subcommand of `caisson compose` is, and the words and flags that several have. */
import type { Project } from '../index.js'
import type { Flag, Flags } from './flags.js'
import { usageError } from './usage.js'
import { parseNumber } from './values.js'

export interface Subcommand {
  summary: string
  usage: string
  flags: readonly Flag[]
  /** What follows its first word is for a program, whatever it looks like. */
  flagsFirst?: boolean
  /** Gives the exit code. */
  run(project: Project, flags: Flags, words: readonly string[]): Promise<number>
}

/** undefined: all. */
export function servicesIn(project: Project, words: readonly string[]): readonly string[] | undefined {
  for (const service of words)
    if (!project.services.includes(service))
      throw usageError(`there is no service ${JSON.stringify(service)}`, `There are ${project.services.join(', ')}.`)
  return words.length > 0 ? words : undefined
}

/** Milliseconds. */
export function timeoutOf(flags: Flags): number | undefined {
  const given = flags.text('timeout')
  return given === undefined ? undefined : parseNumber(given, '--timeout', false) * 1000
}
