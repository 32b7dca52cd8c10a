// node test/vm/run.mjs [--arch x64|arm64] [--user root|tester] [--timeout seconds] [--memory MiB] [--out directory] -- command...
//
// Runs the command in the project's directory of a virtual machine with cgroup v2, and ends with its exit code.
// 125: the virtual machine failed; 69: this machine cannot run it.
import { parseArgs } from 'node:util'
import { Unavailable } from './cache.mjs'
import { runInGuest } from './guest.mjs'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    arch: { type: 'string', default: process.arch },
    user: { type: 'string', default: 'root' },
    timeout: { type: 'string', default: '480' },
    memory: { type: 'string', default: '2048' },
    out: { type: 'string' },
  },
})
if (positionals.length === 0) {
  console.error(
    'usage: node test/vm/run.mjs [--arch x64|arm64] [--user root|tester] [--timeout s] [--memory MiB] [--out dir] -- command...',
  )
  process.exit(64)
}
try {
  const { exitCode } = await runInGuest(positionals, {
    architecture: values.arch,
    user: values.user,
    timeoutMs: Number(values.timeout) * 1000,
    memoryMib: Number(values.memory),
    output: values.out,
  })
  process.exitCode = exitCode
} catch (error) {
  console.error(`vm: ${error.message}`)
  process.exitCode = error instanceof Unavailable ? 69 : 125
}
