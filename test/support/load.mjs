// A process with containers in every state, for tests that kill it. Prints a line when it is busy, and runs until then.
import { Container, Image, Pool, run } from 'caisson'

const image = await Image.host()
const workers = [
  async () => {
    for (;;) await run(image, ['sh', '-c', 'setsid sleep 1000 & true'])
  },
  async () => {
    for (;;) await run(image, ['sleep', '0.02'], { limits: { memory: '64m', cpus: 1 } })
  },
  async () => {
    for (;;) {
      const container = await Container.create(image, { command: ['sleep', '1000'] })
      await container.start()
      await container.exec(['true'])
      await container.fs.writeFile('/x', 'y')
      await container.remove({ force: true })
    }
  },
  // A PID 1 that has cleared its parent-death signal: only its cgroup still binds it to us.
  async () => {
    const deaf = 'import ctypes, time\nctypes.CDLL(None).prctl(1, 0)\nprint("deaf", flush=True)\ntime.sleep(1000)'
    const execution = run(image, ['python3', '-c', deaf])
    for await (const { data } of execution) process.stdout.write(data)
  },
  async () => {
    const container = await Container.create(image, { command: ['sleep', '1000'] })
    await container.start()
    await container.pause()
  },
  async () => {
    const pool = new Pool(image, { size: 2 })
    for (;;) await pool.run(['true'])
  },
]
for (const worker of workers) worker()
