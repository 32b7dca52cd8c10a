// A judge: runs a contestant's program on each test, and says accepted, or why not.
import { Image, run } from 'caisson'

const VERDICTS = {
  oom: 'memory limit exceeded',
  cpu: 'time limit exceeded',
  timeout: 'idleness limit exceeded',
  output: 'output limit exceeded',
  signal: 'runtime error',
}

/** `problem`: { cpuMs, memory, tests: [{ input, output }] }. Stops at the first test that fails. */
export async function judge(problem, source) {
  const image = await Image.host()
  for (const [i, { input, output }] of problem.tests.entries()) {
    const result = await run(image, ['python3', '/submission/main.py'], {
      files: { '/submission/main.py': source },
      user: 'nobody',
      input,
      cpuTimeout: problem.cpuMs,
      timeout: problem.cpuMs * 5,
      maxOutput: '1m',
      limits: { memory: problem.memory, pids: 8 },
    })
    const used = Math.round(result.usage.cpuUserMs + result.usage.cpuSystemMs)
    const details = { test: i + 1, cpuMs: used, memory: result.usage.memoryPeakBytes, exitCode: result.exitCode }
    if (result.reason !== 'exit') return { verdict: VERDICTS[result.reason], ...details }
    if (result.exitCode !== 0) return { verdict: 'runtime error', ...details }
    if (result.stdout.trim() !== output.trim()) return { verdict: 'wrong answer', ...details }
  }
  return { verdict: 'accepted', tests: problem.tests.length }
}

export const SUM = {
  cpuMs: 1000,
  memory: '64m',
  tests: [
    { input: '1 2\n', output: '3' },
    { input: '-5 5\n', output: '0' },
  ],
}

export const SUBMISSIONS = {
  right: 'print(sum(map(int, input().split())))',
  wrong: 'a, b = input().split(); print(a + b)',
  endless: 'while True: pass',
  idle: 'import time; time.sleep(100)',
  greedy: 'x = bytearray(1 << 30); print(x[0])',
  chatty: 'while True: print("x" * 1000)',
  broken: 'print(1 // 0)',
  crashing: 'import ctypes; ctypes.string_at(0)',
}

if (import.meta.filename === process.argv[1])
  for (const [name, source] of Object.entries(SUBMISSIONS)) console.log(name.padEnd(10), await judge(SUM, source))
