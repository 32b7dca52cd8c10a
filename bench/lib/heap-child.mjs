// A process with so many megabytes of live heap, which runs a container for each line that it reads and prints the time.
import { createInterface } from 'node:readline'
import { Image, run } from 'caisson'

const [rootfs, megabytes] = process.argv.slice(2)
const image = await Image.fromRootfs(rootfs)
const ballast = []
for (let i = 0; i < Number(megabytes); i++) ballast.push(Array.from({ length: 131072 }, (_, j) => i + j))
for await (const _ of createInterface({ input: process.stdin })) {
  const began = performance.now()
  await run(image, ['/bin/true'])
  console.log(performance.now() - began)
}
process.exitCode = ballast.length === Number(megabytes) ? 0 : 1
