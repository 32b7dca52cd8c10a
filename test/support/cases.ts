/** Tables of right answers from reference implementations; they lie beside the repository, not in it. */
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'

const directory = process.env.CAISSON_CASES ?? path.resolve(import.meta.dirname, '../../../shared/cases')

/** Why there are none, or undefined. */
export const missingCases = existsSync(directory) ? undefined : `no ${directory}; set CAISSON_CASES`

interface Table<Case> {
  sets: Array<{ name: string; cases: Case[] | Record<string, unknown> }>
}

/** One set of a table; of one that maps texts to answers, the pairs. Empty where the tables are not. */
export function casesOf<Case>(table: string, set: string): Case[] {
  if (missingCases) return []
  const { sets }: Table<Case> = JSON.parse(readFileSync(path.join(directory, `${table}.json`), 'utf8'))
  const found = sets.find(({ name }) => name === set)
  if (!found) throw new Error(`${table}.json has no set ${set}`)
  return Array.isArray(found.cases) ? found.cases : (Object.entries(found.cases) as Case[])
}
