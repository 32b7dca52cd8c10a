import { harmless } from './harmless.js'

/** Columns with a heading, as wide as what is in them. Nothing of it acts on the terminal. */
export function table(heading: readonly string[], rows: ReadonlyArray<readonly string[]>): string {
  const all = [heading, ...rows].map((row) => row.map((cell) => harmless(cell)))
  const widths = heading.map((_, column) => Math.max(...all.map((row) => (row[column] as string).length)))
  const line = (row: readonly string[]) => row.map((cell, column) => cell.padEnd(widths[column] as number)).join('   ')
  return all.map((row) => `${line(row).trimEnd()}\n`).join('')
}
