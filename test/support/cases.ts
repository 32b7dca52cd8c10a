/** Tables of right answers from the reference implementations. They lie outside the repository. */
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'

export interface CaseSet {
  name: string
  rule: string
  cases: unknown[]
}

const directory = process.env.CAISSON_CASES ?? path.resolve(__dirname, '../../../shared/cases')

/** Tests over `NAME.json`; where it is absent, one test that says so. */
export function cases(name: string, define: (sets: CaseSet[]) => void): void {
  const file = path.join(directory, `${name}.json`)
  if (existsSync(file)) describe(`cases of ${name}`, () => define(JSON.parse(readFileSync(file, 'utf8')).sets))
  else test(`no cases of ${name} here (CAISSON_CASES)`, () => expect(existsSync(file)).toBe(false))
}
