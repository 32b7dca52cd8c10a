// For a worker_thread: containers in several states all the time. Tells its parent when it has begun.
import { parentPort } from 'node:worker_threads'
import { Container, Image, Pool, run } from 'caisson'

const image = await Image.host()
const kept = await Container.create(image, { command: ['sleep', '1000'] })
await kept.start()
const pool = new Pool(image, { size: 2 })
const forever = async (work) => {
  for (;;) await work()
}
void forever(() => run(image, ['true']))
void forever(() => kept.exec(['true']))
void forever(() => pool.run(['true']))
void forever(() => kept.fs.writeFile('/x', 'y'))
void run(image, ['sleep', '1000'])
parentPort.postMessage('begun')
