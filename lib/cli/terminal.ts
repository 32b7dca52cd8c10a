/** The terminal that we are in, lent to the program in the container. */
import type { Execution } from '../index.js'

/** What it is now; a usual one when there is none. */
export function terminalSize(): { columns: number; rows: number } {
  const { columns, rows } = process.stdout
  return columns && rows ? { columns, rows } : { columns: 80, rows: 24 }
}

/** Passes keys on as they are typed, and changes of size; returns how to get it back. */
export function attachTerminal(execution: Pick<Execution, 'resize'>, interactive: boolean): () => void {
  const raw = interactive && process.stdin.isTTY
  if (raw) process.stdin.setRawMode(true)
  const resize = () => {
    const { columns, rows } = terminalSize()
    execution.resize(columns, rows)
  }
  process.stdout.on('resize', resize)
  return () => {
    process.stdout.off('resize', resize)
    if (raw) process.stdin.setRawMode(false)
  }
}
