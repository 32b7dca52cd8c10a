/** Tables of right answers from the reference implementations. They lie outside the repository. */
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'

export interface CaseSet {
  name: string
  rule: string
  cases: unknown[]
}

const directory = process.env.CAISSON_CASES ?? path.resolve(__dirname, '../../../shared/cases')

/** Why there are none, or undefined. */
export const missingCases = existsSync(directory) ? undefined : `no ${directory}; set CAISSON_CASES`

const tables = new Map<string, CaseSet[]>()

function readSets(table: string): CaseSet[] {
  const sets = tables.get(table) ?? JSON.parse(readFileSync(path.join(directory, `${table}.json`), 'utf8')).sets
  tables.set(table, sets)
  return sets
}

/** What else a set holds, by its name. */
export function textOf(table: string, set: string, name: string): string {
  const found = readSets(table).find((each) => each.name === set) as (CaseSet & Record<string, unknown>) | undefined
  const text = found?.[name]
  if (typeof text !== 'string') throw new Error(`${table}.json: ${set} has no ${name}`)
  return text
}

/** All sets of a table, with what else they hold. */
export const casesDocument = readSets

/** Tests over `NAME.json`; where it is absent, one test that says so. */
export function cases(name: string, define: (sets: CaseSet[]) => void): void {
  if (!missingCases) describe(`cases of ${name}`, () => define(readSets(name)))
  else test(`no cases of ${name} here (CAISSON_CASES)`, () => expect(existsSync(directory)).toBe(false))
}

/** One set of a table; of one that maps texts to answers, the pairs. Empty where the tables are not. */
export function casesOf<Case>(table: string, set: string): Case[] {
  if (missingCases) return []
  const found = readSets(table).find(({ name }) => name === set)
  if (!found) throw new Error(`${table}.json has no set ${set}`)
  return (Array.isArray(found.cases) ? found.cases : Object.entries(found.cases)) as Case[]
}
