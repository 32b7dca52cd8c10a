import { CaissonError } from '../../lib/errors.js'

class Mine extends CaissonError {}

test('an error of another copy is one; of a class derived from it only its own are', async () => {
  jest.resetModules()
  const other: typeof import('../../lib/errors.js') = require('../../lib/errors.js')
  expect(other.CaissonError).not.toBe(CaissonError)
  const [plain, mine, theirs] = [
    new CaissonError('ERR_CAISSON_FILE', 'one'),
    new Mine('ERR_CAISSON_FILE', 'one'),
    new other.CaissonError('ERR_CAISSON_FILE', 'one'),
  ]
  for (const error of [plain, mine, theirs])
    for (const type of [CaissonError, other.CaissonError, Error]) expect(error instanceof type).toBe(true)
  expect([plain, mine, theirs].map((error) => error instanceof Mine)).toEqual([false, true, false])
  for (const nothing of [null, undefined, 'text', {}, new Error('one')])
    expect((nothing as unknown) instanceof CaissonError).toBe(false)
})
