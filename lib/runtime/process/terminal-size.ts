/** Sizes of terminals, in characters. */
import { invalidArgument } from '../../errors.js'

export interface TerminalSize {
  columns: number
  rows: number
}

/** What a kernel takes (struct winsize): 16 bits each. 0: unknown. */
export function terminalSize(columns: number, rows: number): TerminalSize {
  for (const value of [columns, rows])
    if (!Number.isInteger(value) || value < 0 || value > 0xffff)
      throw invalidArgument('resize', value, 'a size from 0 to 65535')
  return { columns, rows }
}
