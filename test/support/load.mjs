// A process with containers at work, for tests that kill it. Prints a line when it is busy, and runs until then.
//   load.mjs KIND...         DEAF names the program deaf.c; the image box:1 is there
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { Container, Image, Pool, run } from 'caisson'

const image = await Image.host()
const data = [{ type: 'volume', target: '/data' }]

/** A container's life, with `use` in the middle. */
async function living(options, use) {
  const container = await Container.create(image, { command: ['sleep', '1000'], ...options })
  await container.start()
  await use(container)
  await container.remove({ force: true, volumes: true })
}

/** Each does something once, and is called again when it has. */
const KINDS = {
  orphan: () => run(image, ['sh', '-c', 'setsid sleep 1000 & true']),
  limits: () => run(image, ['sleep', '0.02'], { limits: { memory: '64m', cpus: 1 } }),
  life: (at) =>
    living({ name: `load-${process.pid}-${at}`, init: true }, async (container) => {
      await container.exec(['true'])
      await container.fs.writeFile('/x', 'y')
      await container.restart({ timeout: 0 })
    }),
  execs: () =>
    living({}, (container) =>
      Promise.all(['setsid sleep 1000 & true', 'true', 'sleep 0.02'].map((text) => container.exec(['sh', '-c', text]))),
    ),
  // A PID 1 that has cleared its parent-death signal: only its cgroup still binds it to us.
  deaf: () => run(image, ['/deaf'], { files: { '/deaf': { content: readFileSync(process.env.DEAF), mode: 0o755 } } }),
  paused: () => living({}, (container) => container.pause().then(() => new Promise((done) => setTimeout(done, 50)))),
  pool: async () => {
    const pool = new Pool(image, { size: 2 })
    for (let i = 0; i < 4; i++) await pool.run(['true'])
    await pool[Symbol.asyncDispose]()
  },
  volume: () => living({ mounts: data, storage: 'disk' }, (container) => container.exec(['touch', '/data/x'])),
  terminal: () => living({ tty: true }, (container) => container.exec(['true'], { tty: true })),
  archive: () => living({}, (container) => container.getArchive('/etc').toArray()),
  egress: () => run(image, ['true'], { egress: () => 'deny' }),
  build: () =>
    Image.build({
      dockerfile: { text: `FROM box:1\nRUN --mount=type=cache,target=/c echo ${randomUUID()} > /c/f; cp /c/f /f\n` },
      network: 'none',
    }),
}

for (const [at, kind] of process.argv.slice(2).entries()) {
  const again = () => KINDS[kind](at).then(again)
  again()
}
console.log('busy')
