/** Containers that are kept, on cgroup v2: their cgroup has one for the program and one for each exec. */
import { cgroupHost } from '../../../lib/cgroup/host.js'
import { Container, type ContainerOptions, Image } from '../../../lib/index.js'

const unified = cgroupHost().mode === 'unified' && process.getuid?.() === 0
const MIB = 1 << 20
const EAT = 'a = []\nwhile True: a.append(bytearray(1 << 20))'

;(unified ? describe : describe.skip)('Container on cgroup v2', () => {
  let image: Image
  beforeAll(async () => {
    image = await Image.host()
  })

  async function sleeper(options: ContainerOptions = {}): Promise<Container> {
    const container = await Container.create(image, { command: ['sleep', '1000'], ...options })
    await container.start()
    return container
  }

  const print = async (container: Container, script: string) => (await container.exec(['sh', '-c', script])).stdout

  test('sees its limits where programs look for them, and cannot change them', async () => {
    await using container = await sleeper({ limits: { memory: '64m', cpus: 0.5, pids: 20, cpuset: '0' } })
    expect(await print(container, 'cd /sys/fs/cgroup; cat memory.max cpu.max pids.max cpuset.cpus')).toBe(
      `${64 * MIB}\n50000 100000\n20\n0\n`,
    )
    expect(await print(container, 'cat /proc/1/cgroup; nproc')).toBe('0::/\n1\n')
    const write = await container.exec(['sh', '-c', 'echo max > /sys/fs/cgroup/memory.max'])
    expect(write.stderr).toMatch(/Read-only file system/)
  })

  test('sees them in a user namespace too', async () => {
    await using container = await sleeper({ limits: { memory: '64m' }, namespaces: { user: 'private' } })
    expect(await print(container, 'cat /sys/fs/cgroup/memory.max /proc/1/cgroup')).toBe(`${64 * MIB}\n0::/\n`)
    const write = await container.exec(['sh', '-c', 'echo max > /sys/fs/cgroup/memory.max'])
    expect(write.stderr).toMatch(/Read-only file system/)
  })

  test('has changed limits in force at once', async () => {
    await using container = await sleeper({ limits: { memory: '32m' } })
    const use = ['sh', '-c', 'head -c 60M /dev/zero | tail | wc -c']
    await container.update({ limits: { memory: '256m', cpus: 0.5, pids: 30, unified: { 'memory.low': '1048576' } } })
    expect(await print(container, 'cd /sys/fs/cgroup; cat memory.max cpu.max pids.max memory.low')).toBe(
      `${256 * MIB}\n50000 100000\n30\n${MIB}\n`,
    )
    expect(await container.exec(use)).toMatchObject({ reason: 'exit', stdout: `${60 * MIB}\n` })
    const { memoryPeakBytes, memoryLimitBytes, pidsLimit } = await container.stats()
    expect({ memoryLimitBytes, pidsLimit }).toEqual({ memoryLimitBytes: 256 * MIB, pidsLimit: 30 })
    expect(memoryPeakBytes).toBeGreaterThan(60 * MIB)
    expect(memoryPeakBytes).toBeLessThan(256 * MIB)
  })

  test('keeps changed limits when it starts again', async () => {
    await using container = await sleeper({ limits: { memory: '32m' } })
    await container.update({ limits: { memory: '48m' } })
    await container.restart()
    expect(await print(container, 'cat /sys/fs/cgroup/memory.max')).toBe(`${48 * MIB}\n`)
  })

  test('counts what an exec uses, apart from the rest', async () => {
    await using container = await sleeper({ limits: { memory: '256m' } })
    const { usage } = await container.exec(['sh', '-c', 'head -c 60M /dev/zero | tail | wc -c'])
    expect(usage.memoryPeakBytes).toBeGreaterThan(60 * MIB)
    expect(usage.cpuUserMs).toBeGreaterThan(0)
    expect(usage.oomKills).toBe(0)
    const other = await container.exec(['true'])
    expect(other.usage.memoryPeakBytes).toBeLessThan(20 * MIB)
    const total = await container.stats()
    expect(total.memoryPeakBytes).toBeGreaterThanOrEqual(usage.memoryPeakBytes as number)
    expect(total.pids).toBe(1)
  })

  test('ends as a whole when an exec runs out of memory', async () => {
    await using container = await sleeper({ limits: { memory: '32m' } })
    const oom = new Promise((resolve) => container.on('oom', resolve))
    expect(await container.exec(['python3', '-c', EAT])).toMatchObject({ reason: 'oom', signal: 'SIGKILL' })
    expect(await container.wait()).toMatchObject({ reason: 'oom', signal: 'SIGKILL' })
    await oom
  })

  test('kills what an exec leaves behind, and only that', async () => {
    await using container = await sleeper()
    const slow = await container.exec(['sh', '-c', 'setsid sleep 999 & sleep 999'], { timeout: 300 })
    expect(slow).toMatchObject({ reason: 'timeout', signal: 'SIGKILL' })
    // PID 1 here does not wait for the orphans that it gets.
    const alive = (await container.top()).filter((process) => process.state !== 'Z')
    expect(alive.map((process) => process.args)).toEqual([['sleep', '1000']])
    expect(container.state).toBe('running')
  })

  test('is frozen with its execs, and killed while it is', async () => {
    await using container = await sleeper()
    const execution = container.exec(['sh', '-c', 'while :; do :; done'])
    await execution.pid
    await container.pause()
    const used = async () => (await container.stats()).cpuUserMs as number
    const before = await used()
    await new Promise((resolve) => setTimeout(resolve, 200))
    expect(await used()).toBe(before)
    await container.kill()
    expect(await container.wait()).toMatchObject({ signal: 'SIGKILL' })
    expect(await execution).toMatchObject({ signal: 'SIGKILL' })
  })

  test('may open the devices that it was given, and no others', async () => {
    await using container = await sleeper({ devices: ['/dev/net/tun'] })
    const open = 'mknod $0 c $1 $2 && (: < $0) && echo opened'
    const reach = async (name: string, major: string, minor: string) =>
      (await container.exec(['sh', '-c', open, `/tmp/${name}`, major, minor])).stdout
    expect(await reach('tun', '10', '200')).toBe('opened\n')
    expect(await reach('kmsg', '1', '11')).toBe('')
    expect(await reach('mem', '1', '1')).toBe('')
  })
})
