import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, rmdirSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { cgroupHost } from '../../../lib/cgroup/host.js'
import { Container, Image, run } from '../../../lib/index.js'
import { settle } from '../../support/leftovers.js'

const legacy = cgroupHost().legacy.some(({ controllers }) => controllers.includes('cpuset'))
/** By the same name in both cases: what the virtual machine skips has run on such a host. */
const onLegacy = legacy ? test : test.skip

/** The kernel may need a moment after the last process. */
function removed(cgroup: string): boolean {
  try {
    rmdirSync(cgroup)
    return true
  } catch {
    return !existsSync(cgroup)
  }
}

const EAT = 'a = []\nwhile True: a.append(bytearray(1 << 20))'

describe('limits and verdicts', () => {
  let image: Image
  beforeAll(async () => {
    image = await Image.host()
  })
  const python = (code: string, options = {}) => run(image, ['python3', '-c', code], options)

  test('out of memory', async () => {
    const result = await python(EAT, { limits: { memory: '32m' } })
    expect(result).toMatchObject({ reason: 'oom', signal: 'SIGKILL', exitCode: null })
    expect(result.usage.oomKills).toBeGreaterThanOrEqual(1)
    expect(result.usage.memoryPeakBytes).toBeGreaterThan(24 * 1024 * 1024)
    expect(result.usage.memoryPeakBytes).toBeLessThanOrEqual(32 * 1024 * 1024)
  })

  test('out of memory in a child ends the whole container', async () => {
    const result = await run(image, ['sh', '-c', `python3 -c '${EAT}'; echo survived; sleep 60`], {
      limits: { memory: '32m' },
    })
    expect(result.reason).toBe('oom')
    // On cgroup v1 we kill the rest, a moment after the kernel has killed one of them.
    expect(result.stdout).toMatch(legacy ? /^(survived\n)?$/ : /^$/)
    expect(result.durationMs).toBeLessThan(20_000)
  })

  test('out of memory in a child is the reason, also of a program that ends at once by itself then', async () => {
    const image = await Image.host()
    const results = await Promise.all(
      Array.from({ length: 6 }, () =>
        run(image, ['sh', '-c', `python3 -c '${EAT}'; exit 3`], { limits: { memory: '16m' } }),
      ),
    )
    for (const result of results)
      expect(result).toMatchObject({ reason: 'oom', usage: { oomKills: expect.any(Number) } })
    expect(Math.min(...results.map(({ usage }) => usage.oomKills ?? 0))).toBeGreaterThanOrEqual(1)
  })

  onLegacy('memory that runs out above, for somebody else, ends no container', async () => {
    const memory = cgroupHost().legacy.find(({ controllers }) => controllers.includes('memory'))?.own as string
    const above = path.join(memory, `above-${process.pid}`)
    mkdirSync(above)
    try {
      writeFileSync(path.join(above, 'memory.limit_in_bytes'), '300m')
      // The one that takes all is chosen for its score; a container beside it is told of it too.
      const script = `
        import { spawnSync } from 'node:child_process'
        import { Image, run } from 'caisson'
        const container = run(await Image.host(), ['sleep', '1.5'], { limits: { memory: '64m', pids: 16 } })
        await container.pid
        const hog = spawnSync('sh', ['-c', 'echo 1000 > /proc/self/oom_score_adj; exec python3 -c "$0"', ${JSON.stringify(EAT)}])
        const { reason, usage } = await container
        console.log(JSON.stringify({ hog: hog.signal, reason, kills: usage.oomKills }))`
      const enter = 'echo $$ > "$0/cgroup.procs" && exec "$@"'
      const out = execFileSync('sh', ['-c', enter, above, process.execPath, '--input-type=module', '-e', script])
      expect(JSON.parse(out.toString())).toEqual({ hog: 'SIGKILL', reason: 'exit', kills: 0 })
    } finally {
      await settle(() => (removed(above) ? [] : [above]), 3000)
    }
  })

  test('wall-clock time, against all descendants', async () => {
    const began = Date.now()
    const result = await run(image, ['sh', '-c', 'setsid sleep 1000 & sleep 1000'], { timeout: '200ms' })
    expect(result).toMatchObject({ reason: 'timeout', signal: 'SIGKILL' })
    expect(Date.now() - began).toBeLessThan(2000)
    expect(result.durationMs).toBeGreaterThanOrEqual(200)
    expect(result.durationMs).toBeLessThan(1000)
  })

  test('CPU time, of all processes together, apart from the wall clock', async () => {
    const result = await run(image, ['sh', '-c', 'while :; do :; done & while :; do :; done'], {
      cpuTimeout: 200,
      timeout: '20s',
    })
    expect(result).toMatchObject({ reason: 'cpu', signal: 'SIGKILL' })
    const used = (result.usage.cpuUserMs ?? 0) + (result.usage.cpuSystemMs ?? 0)
    expect(used).toBeGreaterThanOrEqual(190)
    expect(used).toBeLessThan(800)
    const sleeper = await run(image, ['sleep', '0.5'], { cpuTimeout: 200 })
    expect(sleeper).toMatchObject({ reason: 'exit', exitCode: 0 })
  })

  test('the timeout is kept while our own event loop is busy', async () => {
    const execution = run(image, ['sleep', '5'], { timeout: 100 })
    await execution.pid
    const until = Date.now() + 600
    while (Date.now() < until);
    const result = await execution
    expect(result.reason).toBe('timeout')
    expect(result.durationMs).toBeLessThan(500)
  })

  test('processes: a fork bomb ends at the bound', async () => {
    const result = await python(
      'import os,time\nn=0\ntry:\n  while True:\n    if os.fork()==0: time.sleep(100)\n    n+=1\nexcept OSError as e: print(n, e.errno)',
      { limits: { pids: 16 } },
    )
    expect(result).toMatchObject({ stdout: '15 11\n', reason: 'exit' })
    expect(result.usage.pidsPeak).toBe(16)
  })

  test('a program of its own signal is told apart from ours', async () => {
    const fault = await python('import ctypes; ctypes.string_at(0)')
    expect(fault).toMatchObject({ exitCode: null, signal: 'SIGSEGV', reason: 'signal' })
    const killed = run(image, ['sleep', '100'])
    await killed.pid
    killed.kill()
    expect(await killed).toMatchObject({ reason: 'signal', signal: 'SIGKILL', exitCode: null })
    const controller = new AbortController()
    const aborted = run(image, ['sleep', '100'], { signal: controller.signal })
    await aborted.pid
    controller.abort()
    expect(await aborted).toMatchObject({ reason: 'aborted', signal: 'SIGKILL' })
  })

  test('an abort before the start starts nothing', async () => {
    await expect(run(image, ['true'], { signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 'ERR_CAISSON_ABORTED',
    })
  })

  test('part of a processor', async () => {
    const burn =
      'import time\nt=time.time()\nused=time.process_time()\nwhile time.time()-t<1: pass\nprint(time.process_time()-used)'
    // At the same time: however busy the machine is, it is so for both.
    const results = await Promise.all([python(burn, { limits: { cpus: 0.05 } }), python(burn)])
    const [part, whole] = results.map(({ stdout }) => Number(stdout)) as [number, number]
    expect(part).toBeLessThan(0.12)
    expect(whole).toBeGreaterThan(2 * part)
  })

  test('processors to run on', async () => {
    const result = await python('import os; print(sorted(os.sched_getaffinity(0)))', { limits: { cpuset: '1' } })
    expect(result.stdout).toBe('[1]\n')
  })

  onLegacy('one that the kernel refuses, while the init program is already at work, starts nothing', async () => {
    const marker = path.join(tmpdir(), `caisson-refused-${process.pid}`)
    const mounts = [{ type: 'bind' as const, source: tmpdir(), target: '/out' }]
    const refused = run(image, ['touch', `/out/${path.basename(marker)}`], { limits: { cpuset: '4000' }, mounts })
    await expect(refused).rejects.toMatchObject({
      code: 'ERR_CAISSON_CGROUP',
      stage: 'cgroup: cpuset',
      cause: { syscall: 'write', path: expect.stringMatching(/cpuset\.cpus$/) },
    })
    expect(existsSync(marker)).toBe(false)
    const after = await run(image, ['true'], { limits: { cpuset: '0' } })
    expect(after.exitCode).toBe(0)
  })

  test('a reservation of memory, memory nodes, and swappiness where there is one', async () => {
    const cat = (...files: string[]) => ['sh', '-c', `cd /sys/fs/cgroup; cat ${files.join(' ')}`]
    const limits = { memory: '64m', memoryReservation: '32m', cpusetMems: '0' }
    const files = legacy ? ['memory/memory.soft_limit_in_bytes', 'cpuset/cpuset.mems'] : ['memory.low', 'cpuset.mems']
    expect((await run(image, cat(...files), { limits })).stdout).toBe(`${32 * 1024 * 1024}\n0\n`)
    const swapped = run(image, cat('memory/memory.swappiness'), { limits: { memory: '64m', memorySwappiness: 7 } })
    if (legacy) expect((await swapped).stdout).toBe('7\n')
    else await expect(swapped).rejects.toMatchObject({ code: 'ERR_CAISSON_LIMIT_UNAVAILABLE' })
  })

  test('size of the writable layer', async () => {
    const result = await run(
      image,
      ['sh', '-c', 'head -c 20000000 /dev/zero > /big; ls -l /big | cut -d" " -f5; echo hi > /dev/null'],
      {
        limits: { disk: '8m' },
      },
    )
    expect(result.stderr).toMatch(/No space left/)
    expect(Number(result.stdout)).toBeLessThan(9_000_000)
  })

  test('size of the writable layer of a container that is kept', async () => {
    await using container = await Container.create(image, { limits: { disk: '8m' }, command: ['sleep', '60'] })
    await container.start()
    const { exitCode, stderr } = await container.exec(['sh', '-c', 'head -c 20000000 /dev/zero > /big'])
    expect({ exitCode, stderr }).toEqual({ exitCode: 1, stderr: expect.stringContaining('No space left') })
    expect((await container.fs.stat('/big')).size).toBeLessThan(9_000_000)
    const unavailable = { code: 'ERR_CAISSON_LIMIT_UNAVAILABLE', stage: 'options' }
    await expect(container.update({ limits: { disk: '16m' } })).rejects.toMatchObject(unavailable)
    const onDisk = Container.create(image, { limits: { disk: '8m' }, storage: 'disk' })
    await expect(onDisk).rejects.toMatchObject(unavailable)
  })

  test('resource limits', async () => {
    const result = await run(image, ['sh', '-c', 'ulimit -n; ulimit -Hc; ulimit -f'], {
      ulimits: { nofile: { soft: 100, hard: 200 }, core: 0, fsize: -1 },
    })
    expect(result.stdout).toBe('100\n0\nunlimited\n')
  })

  test('accounts of a plain run', async () => {
    const { usage, durationMs } = await python('sum(range(3_000_000))')
    expect(usage.cpuUserMs).toBeGreaterThan(10)
    expect(usage.cpuSystemMs).toBeGreaterThanOrEqual(0)
    expect(usage.memoryPeakBytes).toBeGreaterThan(1_000_000)
    expect(usage.pidsPeak).toBe(1)
    expect(usage.oomKills).toBe(0)
    expect(durationMs).toBeGreaterThan(10)
  })
})
