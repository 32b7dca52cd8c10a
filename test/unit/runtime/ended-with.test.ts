import { type ExecResult, endedWith, withText } from '../../../lib/runtime/process/verdict.js'

function killed(reason: ExecResult['reason'], oomKills: number | null): ExecResult {
  const none = { cpuUserMs: null, cpuSystemMs: null, memoryPeakBytes: null, pidsPeak: null, throttledMs: null }
  const usage = { ...none, oomKills, ioReadBytes: null, ioWriteBytes: null }
  const bytes = { stdoutBytes: Buffer.alloc(0), stderrBytes: Buffer.alloc(0) }
  return withText({ exitCode: null, signal: 'SIGKILL', reason, ...bytes, truncated: false, durationMs: 1, usage })
}

const files = { memoryEvents: '/c/memory.events' }

test('an exec whose counters went with its container ended for the same want of memory', async () => {
  const result = await endedWith(killed('signal', null), files, Promise.resolve(killed('oom', 3)))
  expect(result).toMatchObject({ reason: 'oom', usage: { oomKills: 3 } })
})

test('of another end it stays what it was', async () => {
  const never = new Promise<ExecResult>(() => undefined)
  expect(await endedWith(killed('signal', 0), files, never)).toMatchObject({ reason: 'signal' })
  expect(await endedWith(killed('timeout', null), files, never)).toMatchObject({ reason: 'timeout' })
  expect(await endedWith(killed('signal', null), {}, never)).toMatchObject({ reason: 'signal' })
  for (const whole of [Promise.resolve(killed('signal', 0)), Promise.reject(new Error('it could not be removed'))])
    expect(await endedWith(killed('signal', null), files, whole)).toMatchObject({ reason: 'signal' })
})
