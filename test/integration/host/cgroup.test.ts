import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { cgroupHost, isWritable } from '../../../lib/cgroup/host.js'
import { Cgroup } from '../../../lib/index.js'
import { addon } from '../../../lib/native/addon.js'
import { findProgram, isRoot, testIf } from '../../support/needs.js'

describe('Cgroup', () => {
  const children: ChildProcess[] = []
  afterEach(() => {
    for (const child of children.splice(0)) child.kill('SIGKILL')
  })
  const start = (script: string) => {
    const child = spawn('sh', ['-c', script], { stdio: 'ignore' })
    children.push(child)
    return child as ChildProcess & { pid: number }
  }

  test('limits, counts, freezes and kills processes that are no containers', async () => {
    await using group = await Cgroup.create('any', { pids: 5, memory: '64m' })
    expect(group.controllers).toEqual(expect.arrayContaining(['memory', 'pids']))
    // What it starts before it is in the group is not: it waits for that.
    const child = start('sleep 0.3; sleep 1000 & sleep 1000 & wait')
    await group.add(child.pid)
    expect(await group.procs()).toContain(child.pid)
    const stats = await group.stats()
    expect(stats).toMatchObject({ pidsLimit: 5, memoryLimitBytes: 64 * 1024 * 1024 })
    await group.set({ pids: 9 })
    expect((await group.stats()).pidsLimit).toBe(9)
    await group.freeze()
    await group.thaw()
    await group.freeze()
    await group.kill()
    expect(await group.procs()).toEqual([])
    for (let i = 0; i < 100 && child.signalCode === null; i++) await new Promise((resolve) => setTimeout(resolve, 10))
    expect(child.signalCode).toBe('SIGKILL')
  })

  testIf(
    (!isRoot && 'only root may choose process ids') ||
      (!cgroupHost().legacy.some(({ controllers, own }) => controllers.includes('cpuset') && isWritable(own)) &&
        'there is no cgroup v1 with these controllers'),
  )('limits that come late are for nobody who was given the number of a member', async () => {
    await using group = await Cgroup.create('numbers')
    const unified = cgroupHost().unified?.mountpoint as string
    const script = path.resolve(__dirname, '../../support/programs/reuse.py')
    const child = spawn('python3', [script, path.join(unified, group.path, 'cgroup.events'), '60'], { detached: true })
    try {
      const lines = createInterface(child.stdout)[Symbol.asyncIterator]()
      const numbers = async () => ((await lines.next()).value as string).split(' ').map(Number)
      const members = await numbers()
      for (const pid of members) await group.add(pid)
      child.stdin.write('\n')
      await group.set({ cpuset: '0' })
      const taken = await numbers()
      expect(taken.length).toBeGreaterThan(0)
      const placeOf = (pid: number) => /^\d+:cpuset:(.*)$/m.exec(readFileSync(`/proc/${pid}/cgroup`, 'utf8'))?.[1]
      const own = placeOf(child.pid as number)
      expect(taken.map(placeOf).filter((place) => place !== own)).toEqual([])
      const place = placeOf(members[0] as number)
      expect(place).toMatch(/\/group-numbers$/)
      expect((await group.procs()).map(placeOf).filter((each) => each !== place)).toEqual([])
    } finally {
      process.kill(-(child.pid as number), 'SIGKILL')
      await once(child, 'close')
    }
  })

  testIf(
    (!findProgram('python3') && 'no python3') ||
      ((!cgroupHost().unified || !isWritable(cgroupHost().unified?.own as string)) && 'no cgroup v2'),
  )('is moved as a whole while a large process of it dies', async () => {
    await using from = await Cgroup.create('from')
    await using to = await Cgroup.create('to')
    const { mountpoint, own } = cgroupHost().unified as { mountpoint: string; own: string }
    const [source, target] = [from, to].map((group) => path.join(mountpoint, group.path)) as [string, string]
    // Page by page, which takes its time to be given back.
    const script = `import mmap, sys
m = mmap.mmap(-1, 256 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
m.madvise(mmap.MADV_NOHUGEPAGE)
for at in range(0, len(m), 4096): m[at] = 1
print(flush=True)
sys.stdin.read()`
    const large = spawn('python3', ['-c', script])
    children.push(large)
    await once(large.stdout, 'data')
    const small = start('sleep 1000')
    for (const child of [large, small]) await from.add(child.pid as number)
    const gone = once(large, 'close')
    large.kill('SIGKILL')
    await addon().moveMembers(source, target, own)
    // It may have come along, before it has heard of its end.
    await gone
    expect([await from.procs(), await to.procs()]).toEqual([[], [small.pid]])
  })

  test('gets limits that it did not have, with what is in it', async () => {
    await using group = await Cgroup.create('later')
    // It, too, is in the group before it starts another, which ends with the group.
    const child = start('sleep 0.3; while :; do :; done & exec sleep 1000')
    await group.add(child.pid)
    await new Promise((resolve) => setTimeout(resolve, 400))
    expect(await group.procs()).toHaveLength(2)
    await group.set({ cpus: 0.5, cpuset: '0', pids: 7 })
    expect(group.controllers).toEqual(expect.arrayContaining(['cpu', 'cpuset', 'pids']))
    expect(readFileSync(`/proc/${child.pid}/status`, 'utf8')).toMatch(/^Cpus_allowed_list:\s0$/m)
    await group.set({ cpuset: '1' })
    expect(readFileSync(`/proc/${child.pid}/status`, 'utf8')).toMatch(/^Cpus_allowed_list:\s1$/m)
  })

  test('tells what happens', async () => {
    const group = await Cgroup.create('watched')
    const seen: string[] = []
    const watching = (async () => {
      for await (const { type } of group.events()) seen.push(type)
    })()
    const until = async (type: string) => {
      for (let i = 0; i < 200 && !seen.includes(type); i++) await new Promise((resolve) => setTimeout(resolve, 10))
    }
    const child = start('exec sleep 1000')
    await new Promise((resolve) => setTimeout(resolve, 30))
    await group.add(child.pid)
    await until('populated')
    await group.freeze()
    await until('frozen')
    await group.thaw()
    await until('thawed')
    await group.kill()
    await until('empty')
    await group.remove()
    await watching
    expect(seen).toEqual(['populated', 'frozen', 'thawed', 'empty', 'removed'])
  })

  test('of a process and the root', async () => {
    const mine = await Cgroup.of(process.pid)
    expect(readFileSync('/proc/self/cgroup', 'utf8')).toMatch(new RegExp(`:${mine.path}$`, 'm'))
    const root = await Cgroup.root()
    expect(['unified', 'hybrid', 'legacy']).toContain(root.mode)
    expect((await root.children()).length).toBeGreaterThanOrEqual(0)
    await expect(Cgroup.of(2 ** 22)).rejects.toMatchObject({ code: 'ERR_CAISSON_CGROUP' })
  })

  test('refuses names and limits that are wrong, and names that are taken', async () => {
    for (const name of ['', '../up', 'a/b', 'cgroup.procs', 'x\n'])
      await expect(Cgroup.create(name)).rejects.toMatchObject({ code: 'ERR_CAISSON_INVALID_ARGUMENT' })
    await using group = await Cgroup.create('once')
    await expect(Cgroup.create('once')).rejects.toMatchObject({ code: 'ERR_CAISSON_NAME_IN_USE' })
    await group.remove()
    expect(existsSync(`/sys/fs/cgroup${group.path}`)).toBe(false)
  })

  test('what goes wrong has a code, and advice that fits', async () => {
    const group = await Cgroup.create('advice')
    await expect(group.set({ pid: 5 } as never)).rejects.toMatchObject({ code: 'ERR_CAISSON_INVALID_ARGUMENT' })
    await expect(group.add(4_194_303)).rejects.toMatchObject({
      code: 'ERR_CAISSON_CGROUP',
      hint: expect.stringContaining('no such process'),
    })
    await group.remove()
    await expect(group.procs()).rejects.toMatchObject({ code: 'ERR_CAISSON_CGROUP', name: 'CaissonError' })
    await expect(Cgroup.create('advice', { Memory: 1 } as never)).rejects.toMatchObject({
      code: 'ERR_CAISSON_INVALID_ARGUMENT',
    })
  })
})
