// Unpacks the layers of images one after the other, in a process of its own and a store that has nothing; prints how long
// that took in milliseconds, and how many processors were busy.
import { Image } from 'caisson'

const images = []
for (const file of process.argv.slice(2)) images.push(await Image.load(file))
const before = process.cpuUsage()
const began = performance.now()
for (const image of images) await image.rootfs()
const ms = performance.now() - began
const { user, system } = process.cpuUsage(before)
console.log(JSON.stringify({ ms, busy: (user + system) / 1000 / ms }))
