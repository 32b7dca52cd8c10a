// A web application with its database, from a compose file: brought up, asked, and taken down. Needs root, for the
// network; nothing is fetched: the image is this machine's static busybox.
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { compose, Image } from 'caisson'

const place = mkdtempSync(path.join(tmpdir(), 'caisson-compose-'))
mkdirSync(path.join(place, 'bin'))
copyFileSync('/bin/busybox', path.join(place, 'bin/busybox'))
for (const name of ['sh', 'cat', 'test', 'nc', 'httpd']) symlinkSync('busybox', path.join(place, 'bin', name))
const image = await Image.fromRootfs(place)
await image.tag('example/box:1')

const project = await compose(path.join(import.meta.dirname, 'compose.yaml'))
try {
  await project.up()
  for (const { name, state, health } of await project.ps()) console.log(name, state, health)
  const [{ ports }] = await project.ps()
  for (let visit = 0; visit < 3; visit++) console.log(await visits(`http://127.0.0.1:${ports[0].port}/cgi-bin/visits`))
} finally {
  await project.down({ volumes: true })
  await (await Image.get('example/box:1')).remove({ force: true })
  rmSync(place, { recursive: true })
}

/** Asks until it answers: it has started, but may not listen yet. */
async function visits(url) {
  for (let attempt = 0; ; attempt++) {
    try {
      const text = (await (await fetch(url, { signal: AbortSignal.timeout(1000) })).text()).trim()
      if (/\d/.test(text) || attempt > 100) return text
    } catch (error) {
      if (attempt > 100) throw error
    }
    await sleep(20)
  }
}
