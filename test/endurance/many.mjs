// Runs containers in one process, several at a time, and says how much it holds after every part of them, as JSON.
//   many.mjs COUNT AT_A_TIME PARTS
import { readdirSync, readFileSync } from 'node:fs'
import { Image, run } from 'caisson'

const [count, atATime, parts] = process.argv.slice(2).map(Number)
const image = await Image.host()
let left = 0
let wrong = 0

async function worker() {
  while (left-- > 0) {
    const { exitCode, stdout } = await run(image, ['echo', 'x'])
    if (exitCode !== 0 || stdout !== 'x\n') wrong++
  }
}

for (let part = 0; part < parts; part++) {
  left = count / parts
  await Promise.all(Array.from({ length: atATime }, worker))
  for (let i = 0; i < 3; i++) {
    globalThis.gc()
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  const status = readFileSync('/proc/self/status', 'utf8')
  console.log(
    JSON.stringify({
      wrong,
      descriptors: readdirSync('/proc/self/fd').length,
      threads: Number(/^Threads:\s*(\d+)/m.exec(status)[1]),
      residentKiB: Number(/^VmRSS:\s*(\d+)/m.exec(status)[1]),
      heapKiB: Math.round(process.memoryUsage().heapUsed / 1024),
    }),
  )
}
