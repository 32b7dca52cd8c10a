/** Programs that a test finds again among all processes of the machine, by a word of their command line. */
import { readdirSync, readFileSync } from 'node:fs'

/** Seconds that nobody else sleeps. */
export const unusual = () => String(1_000_000 + Math.floor(Math.random() * 1_000_000_000))

/** Process ids. */
export function alive(mark: string): string[] {
  return readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(mark)
    } catch {
      return false
    }
  })
}
