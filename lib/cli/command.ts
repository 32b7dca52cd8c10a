/** What a command of the command line is. */
import type { Flag, Flags } from './flags.js'

export interface Command {
  /** One line for the list of commands. */
  summary: string
  /** What comes after its name. */
  usage: string
  description: string
  flags: readonly Flag[]
  /** The last lines of its help: exit codes. */
  exits: string
  /** Gives the exit code. */
  run(flags: Flags, rest: readonly string[]): Promise<number>
}
