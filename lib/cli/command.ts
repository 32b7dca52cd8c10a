/** What a command of the command line is. */
import type { Flag, Flags } from './flags.js'

export interface Command {
  /** One line for the list of commands. */
  summary: string
  /** What comes after its name. */
  usage: string
  description: string
  flags: readonly Flag[]
  /** Flags that docker's command has and this one has not, with what to do instead. */
  refused?: Readonly<Record<string, string>>
  /** What follows the flags is for a program or another command, whatever it looks like. Default: flags may be anywhere. */
  flagsFirst?: boolean
  /** The last lines of its help: exit codes. */
  exits: string
  /** Gives the exit code. */
  run(flags: Flags, rest: readonly string[]): Promise<number>
}
