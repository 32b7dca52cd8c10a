/** Tables of inputs and right answers from other implementations, which lie outside the repository. */
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'

const directory = process.env.CAISSON_CASES ?? path.resolve(__dirname, '../../../shared/cases')

export interface CaseSet<Case> {
  name: string
  cases: Case[]
}

/** The sets of a table, or nothing where it is not at hand. */
export function caseSets<Case>(table: string): Array<CaseSet<Case>> | undefined {
  const file = path.join(directory, `${table}.json`)
  if (!existsSync(file)) return undefined
  return (JSON.parse(readFileSync(file, 'utf8')) as { sets: Array<CaseSet<Case>> }).sets
}

/** Runs `body` with one set of a table; skipped, with the reason, where the table is not at hand. */
export function testCases<Case>(table: string, set: string, body: (cases: Case[]) => Promise<void>): void {
  const found = caseSets<Case>(table)?.find(({ name }) => name === set)
  if (found) test(`${table}: ${set}`, () => body(found.cases))
  else test.skip(`${table}: ${set} (skipped: no ${path.join(directory, table)}.json; set CAISSON_CASES)`, () => {})
}
