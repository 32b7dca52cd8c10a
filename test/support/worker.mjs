// For a worker_thread: a container that runs, and its process id to the parent.
import { parentPort } from 'node:worker_threads'
import { Image, run } from 'caisson'

const execution = run(await Image.host(), ['sleep', '1000'])
parentPort.postMessage(await execution.pid)
await execution
