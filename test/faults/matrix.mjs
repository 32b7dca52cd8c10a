// Does one operation again and again, each time with another of its system calls failing. For each a line of JSON.
//   matrix.mjs CONTROL OPERATION EVERY ROUND       of all calls, every EVERY-th; a round has other errors than the next
import { constants } from 'node:os'
import { CaissonError } from 'caisson'
import { Control } from './control.mjs'
import { Holdings } from './left.mjs'
import { end, OPERATIONS } from './operations.mjs'

const [file, name, every, round] = process.argv.slice(2)
const control = new Control(file)
const operation = OPERATIONS[name]
const { EPERM, ENOSPC, ENOSYS, ENOMEM, EINTR } = constants.errno
const ERRORS = [EPERM, ENOSPC, ENOMEM, ENOSYS, EINTR]
/** Longer than any of them takes, shorter than what stops a start that hangs. */
const PATIENCE = 10_000

function say(line) {
  process.stdout.write(`${JSON.stringify(line)}\n`)
}

/** What came of one attempt. */
async function attempt() {
  let timer
  const late = new Promise((resolve) => {
    timer = setTimeout(() => resolve({ outcome: 'hung' }), PATIENCE)
  })
  const done = operation().then(
    (text) => ({ outcome: 'done', text }),
    (error) => {
      if (!(error instanceof CaissonError)) return { outcome: 'foreign', error: String(error.stack) }
      const { code, stage, hint, message, cause } = error
      return { outcome: 'error', code, stage, hint, message, syscall: cause?.syscall }
    },
  )
  const result = await Promise.race([done, late])
  clearTimeout(timer)
  return result
}

// With its first stream Node opens what it keeps.
say({ began: true })
for (let warm = 0; warm < 3; warm++) await (operation.warm ?? operation)()
const holdings = new Holdings(process.env.CAISSON_ROOT)
await operation.before?.()
control.arm(0)
const usual = await attempt()
const { calls } = control.disarm()
say({ calls, usual: usual.outcome, left: await holdings.left(), text: usual.text })

for (let at = 1; at <= calls.length; at += Number(every)) {
  const errno = ERRORS[(at + Math.floor(at / ERRORS.length) + Number(round)) % ERRORS.length]
  await operation.before?.()
  control.arm(at, errno)
  const result = await attempt()
  const { calls: now, failed } = control.disarm()
  if (result.outcome === 'done') result.outcome = result.text === usual.text ? 'same' : 'different'
  if (result.outcome === 'same') delete result.text
  say({ at, errno, failed, call: now[at - 1], ...result, left: await holdings.left() })
  if (result.outcome === 'hung') process.exit(1)
}
await end()
say({ ended: true })
