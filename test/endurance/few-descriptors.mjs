// More containers at once than there are descriptors for. Says how many ran, with what errors, and what is left.
import { readdirSync, readFileSync } from 'node:fs'
import { CaissonError, Container, Image, run } from 'caisson'

const image = await Image.host()
const kept = await Container.create(image, { command: ['sleep', '1000'] })
await kept.start()
for (let i = 0; i < 3; i++) await Promise.all([run(image, ['true']), kept.exec(['true'])])

function children() {
  return readdirSync('/proc/self/task').flatMap((task) =>
    readFileSync(`/proc/self/task/${task}/children`, 'utf8').split(' ').filter(Boolean),
  ).length
}
const before = children()
const codes = {}
let ran = 0
for (let round = 0; round < 8; round++) {
  const all = Array.from({ length: 40 }, (_, i) => (i % 2 ? run(image, ['true']) : kept.exec(['true'])))
  for (const { status, value, reason } of await Promise.allSettled(all)) {
    if (status === 'fulfilled' && value.exitCode === 0) ran++
    else {
      const code = reason instanceof CaissonError ? reason.code : String(reason ?? JSON.stringify(value))
      codes[code] = (codes[code] ?? 0) + 1
    }
  }
}
for (const until = Date.now() + 2000; children() > before && Date.now() < until; )
  await new Promise((resolve) => setTimeout(resolve, 10))
// Before, some may have waited for the next exec.
const after = Math.max(0, children() - before)
const { stdout } = await run(image, ['echo', 'usable'])
await kept.remove({ force: true })
console.log(JSON.stringify({ ran, codes, after, usable: stdout }))
