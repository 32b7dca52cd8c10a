// Pulls an image in a process of its own, and prints how much memory that took above what it had before: kB.
//   large-pull LIBRARY REFERENCE SMALL
import { readFileSync } from 'node:fs'

const [library, reference, small] = process.argv.slice(2)
const { Image } = await import(library)
const status = (name) => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(readFileSync('/proc/self/status', 'utf8'))[1])

// What a process does once is no part of it.
await Image.pull(small)
const idle = status('VmRSS')
await Image.pull(reference)
console.log(status('VmHWM') - idle)
