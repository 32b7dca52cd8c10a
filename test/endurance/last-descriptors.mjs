// Takes all descriptors but a few while rooms of one kind wait, then runs what has no room. Says what came of it.
import { closeSync, openSync, readdirSync, readlinkSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { Image, run } from 'caisson'

/** Fewer than a run takes. */
const LEFT = 4
const image = await Image.host()
const other = () => run(image, ['echo', 'other'], { hostname: 'other' })
/** Namespaces that this process holds: those of rooms, and some in stock. */
const held = () =>
  readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return /^(net|ipc|mnt):/.test(readlinkSync(`/proc/self/fd/${fd}`))
    } catch {
      return false
    }
  }).length

await other()
for (let i = 0; i < 4; i++) await run(image, ['true'])
await sleep(300)
const before = held()
const taken = []
try {
  for (;;) taken.push(openSync('/dev/null', 'r'))
} catch (error) {
  if (error.code !== 'EMFILE') throw error
}
for (const fd of taken.splice(0, LEFT)) closeSync(fd)
const result = await other().catch((error) => ({ stdout: error.code }))
for (const fd of taken) closeSync(fd)
const { stdout: after } = await run(image, ['echo', 'after'])
console.log(JSON.stringify({ before, taken: taken.length, stdout: result.stdout, after }))
