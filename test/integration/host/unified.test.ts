/** What only cgroup v2 can do; on a hybrid host these run in the virtual machine (docs/testing.md). */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { type Dirent, existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { cgroupHost } from '../../../lib/cgroup/host.js'
import { Image, type RunOptions, run } from '../../../lib/index.js'

const host = cgroupHost()
const unified = host.mode === 'unified' && process.getuid?.() === 0
const swapFree = Number(/^SwapFree:\s+(\d+)/m.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1] ?? 0) * 1024
const disk = readdirSync('/sys/block').find((name) => /^(vd|sd|xvd|nvme)/.test(name))

const MIB = 1 << 20

;(unified ? describe : describe.skip)('cgroup v2', () => {
  let image: Image
  beforeAll(async () => {
    image = await Image.host()
  })

  const shell = (script: string, options?: RunOptions) => run(image, ['sh', '-c', script], options)

  test.each([
    ['memory.max', '67108864', { memory: '64m' }],
    ['memory.swap.max', '0', { memory: '64m' }],
    ['memory.swap.max', '33554432', { memory: '64m', memorySwap: '96m' }],
    ['memory.swap.max', 'max', { memory: '64m', memorySwap: -1 }],
    ['memory.oom.group', '1', { memory: '64m' }],
    ['memory.high', '33554432', { memoryHigh: '32m' }],
    ['memory.low', '1048576', { unified: { 'memory.low': '1048576' } }],
    ['memory.oom.group', '0', { memory: '64m', unified: { 'memory.oom.group': '0' } }],
    ['cpu.idle', '1', { unified: { 'cpu.idle': '1' } }],
    ['cpu.max', '50000 100000', { cpus: 0.5 }],
    ['cpu.weight', '200', { cpuWeight: 200 }],
    ['cpuset.cpus', '0', { cpuset: '0' }],
    ['pids.max', '64', { pids: 64 }],
    ['pids.max', '2048', {}],
  ] as const)('writes %s %s', async (file, value, limits) => {
    const { stdout, stderr } = await shell(`cat /sys/fs/cgroup/${file}`, { limits })
    expect({ stdout, stderr }).toEqual({ stdout: `${value}\n`, stderr: '' })
  })

  ;(disk ? test : test.skip)('limits the rates of a block device', async () => {
    const devices = [{ path: `/dev/${disk}`, readBps: '1m', writeIops: 100 }]
    const { stdout } = await shell('cat /sys/fs/cgroup/io.max', { limits: { io: { devices } } })
    const { rdev } = statSync(`/dev/${disk}`)
    expect(stdout).toBe(`${rdev >> 8}:${rdev & 0xff} rbps=1048576 wbps=max riops=max wiops=100\n`)
  })

  ;(disk ? test : test.skip)('slows down what reads more than its rate', async () => {
    const read = 'dd if=$1 of=/dev/null iflag=direct bs=65536 count=24 status=none'
    const options = { devices: [`/dev/${disk}:/dev/${disk}:r`] }
    const script = ['sh', '-c', read, 'sh', `/dev/${disk}`]
    const free = await run(image, script, options)
    expect(free).toMatchObject({ exitCode: 0, stderr: '' })
    expect(free.usage.ioReadBytes).toBeGreaterThanOrEqual(24 * 65536)
    const limits = { io: { devices: [{ path: `/dev/${disk}`, readBps: '1m' }] } }
    const slow = await run(image, script, { ...options, limits })
    expect(slow).toMatchObject({ exitCode: 0, stderr: '' })
    expect(slow.durationMs).toBeGreaterThan(1000)
  })

  test('a key that is none, or a value that the kernel refuses, is an error that names it', async () => {
    await expect(shell('true', { limits: { unified: { 'memory.no': '1' } } })).rejects.toMatchObject({
      code: expect.stringMatching(/^ERR_CAISSON_/),
      stage: 'cgroup: memory.no',
    })
    await expect(shell('true', { limits: { unified: { 'memory.low': 'much' } } })).rejects.toMatchObject({
      stage: 'cgroup: memory.low',
      cause: { code: 'EINVAL' },
    })
  })

  ;(existsSync('/proc/pressure/memory') ? test : test.skip)('shows its pressure', async () => {
    const { stdout } = await shell('cat /sys/fs/cgroup/memory.pressure')
    expect(stdout).toMatch(/^some avg10=/)
  })

  test('ends every process when memory runs out', async () => {
    const { reason, signal, exitCode, stdout, usage } = await shell('tail /dev/zero & wait; echo survived', {
      limits: { memory: '32m' },
    })
    expect({ reason, signal, exitCode, stdout }).toEqual({
      reason: 'oom',
      signal: 'SIGKILL',
      exitCode: null,
      stdout: '',
    })
    expect(usage.oomKills).toBeGreaterThan(0)
    expect(usage.memoryPeakBytes).toBeGreaterThan(24 * MIB)
    expect(usage.memoryPeakBytes).toBeLessThanOrEqual(32 * MIB)
  })

  test('tells the most memory that was in use', async () => {
    const { stdout, reason, usage } = await shell('head -c 20M /dev/zero | tail | wc -c', {
      limits: { memory: '256m' },
    })
    expect({ stdout, reason }).toEqual({ stdout: `${20 * MIB}\n`, reason: 'exit' })
    expect(usage.memoryPeakBytes).toBeGreaterThan(20 * MIB)
    expect(usage.memoryPeakBytes).toBeLessThan(80 * MIB)
    expect(usage.oomKills).toBe(0)
  })

  ;(swapFree > 256 * MIB ? test : test.skip)('has swap when asked, beyond the memory', async () => {
    const options = (memorySwap: string) => ({ limits: { memory: '16m', memorySwap } })
    const script = 'head -c 20M /dev/zero | tail | wc -c'
    expect(await shell(script, options('16m'))).toMatchObject({ reason: 'oom' })
    expect(await shell(script, options('256m'))).toMatchObject({ reason: 'exit', stdout: `${20 * MIB}\n` })
  })

  test('slows down what uses more than its processors', async () => {
    const { reason, durationMs, usage } = await shell('while :; do :; done', {
      limits: { cpus: 0.25 },
      timeout: '2s',
    })
    expect(reason).toBe('timeout')
    expect(usage.throttledMs).toBeGreaterThan(500)
    expect((usage.cpuUserMs ?? 0) + (usage.cpuSystemMs ?? 0)).toBeLessThan(durationMs / 2)
  })

  test('counts the processor time of all processes together', async () => {
    const { reason, usage } = await shell('(while :; do :; done) & while :; do :; done', { cpuTimeout: '1s' })
    expect(reason).toBe('cpu')
    const used = (usage.cpuUserMs ?? 0) + (usage.cpuSystemMs ?? 0)
    expect(used).toBeGreaterThanOrEqual(1000)
    expect(used).toBeLessThan(2000)
  })

  test('stops a fork bomb', async () => {
    const { usage, stderr } = await shell('for i in $(seq 100); do sleep 5 & done', { limits: { pids: 20 } })
    expect(stderr).toMatch(/fork/)
    // The kernel counts since 6.11.
    if (usage.pidsPeak !== null) expect(usage.pidsPeak).toBe(20)
  })

  test('counts what is read from disk', async () => {
    const none = await shell('true')
    expect(none.usage).toMatchObject({ ioReadBytes: expect.any(Number), ioWriteBytes: 0 })
    const { stderr, usage } = await shell('dd if=/bin/sh of=/dev/null iflag=direct bs=4096 count=16 status=none')
    // File systems without a device below them have no direct reads.
    expect(usage.ioReadBytes).toBeGreaterThanOrEqual(stderr === '' ? 16 * 4096 : 0)
  })

  test('kills what has left its session, without a pid namespace to end it', async () => {
    const mark = `86400.${process.pid}`
    const { reason } = await shell(`setsid sh -c 'setsid sleep ${mark} & sleep ${mark}' & sleep ${mark}`, {
      namespaces: { pid: 'host' },
      timeout: '1s',
    })
    expect(reason).toBe('timeout')
    expect(processesWith(mark)).toEqual([])
  })

  test('leaves no cgroup behind', async () => {
    const results = await Promise.all(
      Array.from({ length: 8 }, () => shell('hostname; setsid sleep 100 >/dev/null & sleep 0.1')),
    )
    // Each test file that has run in this process is an owner.
    const own = cgroups(`caisson-${process.pid}-`)
    expect(own).not.toEqual([])
    const left = () =>
      own.flatMap((directory) => cgroups('', directory).filter((each) => each !== `${directory}/containers`))
    for (const { stdout } of results) expect(left().filter((each) => each.includes(stdout.trim()))).toEqual([])
    // What was made ahead for more of them goes when none come.
    for (let tries = 0; tries < 300 && left().length > 0; tries++) await sleep(50)
    expect(left()).toEqual([])
  })

  test('leaves nothing behind when its process is killed', async () => {
    const mark = `86401.${process.pid}`
    const script = `import { Image, run } from ${JSON.stringify(path.resolve('dist/index.js'))}
      const execution = run(await Image.host(), ['sh', '-c', 'setsid sleep ${mark} & sleep ${mark}'])
      console.log(await execution.pid)
      await execution`
    const owner = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    await once(owner.stdout, 'data')
    expect(cgroups(`caisson-${owner.pid}-`)).toHaveLength(1)
    expect(processesWith(mark)).not.toEqual([])
    owner.kill('SIGKILL')
    await once(owner, 'close')
    for (let tries = 0; tries < 100 && cgroups(`caisson-${owner.pid}-`).length > 0; tries++) await sleep(50)
    expect(cgroups(`caisson-${owner.pid}-`)).toEqual([])
    expect(processesWith(mark)).toEqual([])
  })
})

/** Directories of the hierarchy whose names begin with this. */
function cgroups(prefix: string, below = host.unified?.mountpoint ?? ''): string[] {
  return entriesOf(below)
    .filter((entry) => entry.isDirectory())
    .flatMap(({ name }) => {
      const directory = path.join(below, name)
      return [...(name.startsWith(prefix) ? [directory] : []), ...cgroups(prefix, directory)]
    })
}

/** None of what goes just then. */
function entriesOf(directory: string): Dirent[] {
  try {
    return readdirSync(directory, { withFileTypes: true })
  } catch (error) {
    if (existsSync(directory)) throw error
    return []
  }
}

/** Processes of the whole machine with this among their arguments, zombies not counted. */
function processesWith(argument: string): string[] {
  return readdirSync('/proc').filter((pid) => {
    if (!/^\d+$/.test(pid)) return false
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').includes(argument)
    } catch {
      return false
    }
  })
}
