/** A test for each case of a set; where there are no cases, one that says so. */
import { casesOf, missingCases } from './cases.js'

export function table<Case>(name: string, set: string, check: (given: Case) => void | Promise<void>): void {
  describe(`${name}: ${set}`, () => {
    if (missingCases) {
      test(`no cases here (${missingCases})`, () => expect(missingCases).toBeDefined())
      return
    }
    const cases = casesOf<Case>(name, set)
    test.each(cases.map((each, i) => [i, titleOf(each), each] as const))('%i %s', (_, __, each) => check(each))
  })
}

function titleOf(given: unknown): string {
  const { name } = given as { name?: string }
  return name ?? JSON.stringify(given).slice(0, 100)
}
