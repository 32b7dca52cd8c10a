import type { CgroupBase } from '../../../lib/cgroup/base.js'
import { type CgroupHost, readHost } from '../../../lib/cgroup/host.js'
import { nativeCgroup, planCgroup, planExecCgroup, planUpdate } from '../../../lib/cgroup/plan.js'
import { type Limits, settingsFromLimits } from '../../../lib/cgroup/settings.js'

const V2_MOUNT = '30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw'
const v2: CgroupBase = {
  host: { mode: 'unified', legacy: [] },
  unified: { directory: '/cg/o', controllers: ['cpu', 'memory', 'pids', 'io', 'cpuset'] },
  legacy: [],
}
const hierarchy = (controllers: string[]) => ({
  version: 1 as const,
  mountpoint: `/cg/${controllers[0]}`,
  controllers,
  own: `/cg/${controllers[0]}`,
})
const hybridHost: CgroupHost = { mode: 'hybrid', legacy: [] }
const hybrid: CgroupBase = {
  host: { ...hybridHost, unified: { version: 2, mountpoint: '/cg/u', controllers: [], own: '/cg/u' } },
  unified: { directory: '/cg/u/o', controllers: [] },
  legacy: [['memory'], ['pids'], ['cpu', 'cpuacct'], ['freezer']].map((controllers) => ({
    hierarchy: hierarchy(controllers),
    directory: `/cg/${controllers[0]}/o`,
  })),
}

describe('the host', () => {
  test('pure v2', () => {
    expect(readHost(V2_MOUNT, '0::/user.slice/x.scope\n')).toEqual({
      mode: 'unified',
      delegating: false,
      legacy: [],
      unified: { version: 2, mountpoint: '/sys/fs/cgroup', controllers: [], own: '/sys/fs/cgroup/user.slice/x.scope' },
    })
  })

  test('hybrid, with controllers that are mounted together', () => {
    const mounts = `${V2_MOUNT.replace('/sys/fs/cgroup', '/sys/fs/cgroup/unified')}
31 23 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
32 23 0:28 /docker/abc /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
33 23 0:29 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd`
    const host = readHost(mounts, '4:cpu,cpuacct:/\n3:memory:/docker/abc/sub\n2:name=systemd:/\n0::/\n')
    expect(host.mode).toBe('hybrid')
    expect(host.legacy.map(({ controllers, own }) => [controllers.join(), own])).toEqual([
      ['cpu,cpuacct', '/sys/fs/cgroup/cpu,cpuacct'],
      ['memory', '/sys/fs/cgroup/memory/sub'],
    ])
  })

  test('where cgroup namespaces are borders', () => {
    const mounted = V2_MOUNT.replace(/rw$/, 'rw,nsdelegate')
    expect(mounted).not.toBe(V2_MOUNT)
    expect(readHost(mounted, '0::/\n').delegating).toBe(true)
  })

  test('nothing mounted', () => {
    expect(readHost('', '0::/\n')).toEqual({ mode: 'none', legacy: [] })
  })
})

test('v2: limits, accounts, and a leaf for what is kept', () => {
  const plan = planCgroup(v2, 'id', settingsFromLimits({ memory: '64m', cpus: 2, unified: { 'memory.low': '5' } }), {
    kept: true,
  })
  expect(plan.prepare.map(({ path, text }) => (text === undefined ? path : `${path} = ${text}`))).toEqual([
    '/cg/o/id',
    '/cg/o/id/cpu.max = 200000 100000',
    '/cg/o/id/memory.max = 67108864',
    '/cg/o/id/memory.oom.group = 1',
    '/cg/o/id/memory.swap.max = 0',
    '/cg/o/id/memory.low = 5',
    '/cg/o/id/cgroup.subtree_control = +cpu +memory +pids +io',
    '/cg/o/id/main',
  ])
  expect(plan).toMatchObject({ leaf: '/cg/o/id/main', join: [], files: { memoryPeak: '/cg/o/id/memory.peak' } })
  const exec = planExecCgroup(v2, plan, 'exec-1')
  expect(exec.files).toMatchObject({
    cpu: '/cg/o/id/exec-1/cpu.stat',
    memoryPeak: '/cg/o/id/exec-1/memory.peak',
    memoryEvents: '/cg/o/id/memory.events',
  })
})

test('hybrid: tracked on v2, limited on v1, shown only what the caller limits', () => {
  const plain = planCgroup(hybrid, 'id', settingsFromLimits({}))
  expect(plain.join).toEqual(['/cg/memory/o/id/tasks', '/cg/pids/o/id/tasks'])
  expect(plain).toMatchObject({
    shown: [],
    files: { cpu: '/cg/u/o/id/cpu.stat', memoryPeak: '/cg/memory/o/id/memory.max_usage_in_bytes' },
  })
  const limited = planCgroup(hybrid, 'id', settingsFromLimits({ memory: '1m', cpus: 1, pids: 3 }))
  expect(limited.shown).toEqual(['memory', 'pids', 'cpu'])
  expect(limited.oomControl).toBe('/cg/memory/o/id/memory.oom_control')
  expect(limited.prepare).toContainEqual(
    expect.objectContaining({ path: '/cg/cpu/o/id/cpu.cfs_quota_us', text: '100000' }),
  )
  expect(nativeCgroup(limited)).toEqual({
    unified: '/cg/u/o/id',
    legacy: ['/cg/memory/o/id', '/cg/pids/o/id', '/cg/cpu/o/id'],
    freezer: undefined,
  })
})

test('v1 alone has the freezer too', () => {
  const legacy: CgroupBase = { ...hybrid, host: { mode: 'legacy', legacy: [] }, unified: undefined }
  expect(nativeCgroup(planCgroup(legacy, 'id', {})).freezer).toBe('/cg/freezer/o/id')
})

test('a limit that the host cannot set is an error with advice', () => {
  expect(() => planCgroup(hybrid, 'id', settingsFromLimits({ cpuset: '0' }))).toThrow(
    expect.objectContaining({
      code: 'ERR_CAISSON_LIMIT_UNAVAILABLE',
      stage: 'cgroup: cpuset',
      hint: expect.stringMatching(/./),
    }),
  )
  const none: CgroupBase = { host: { mode: 'none', legacy: [] }, legacy: [] }
  expect(() => planCgroup(none, 'id', settingsFromLimits({ pids: 5 }))).toThrow(
    expect.objectContaining({ code: 'ERR_CAISSON_LIMIT_UNAVAILABLE' }),
  )
  expect(planCgroup(none, 'id', {}).prepare).toEqual([])
})

test('updates go where the group is', () => {
  const plan = planCgroup(hybrid, 'id', settingsFromLimits({ memory: '1m' }))
  const update = (limits: Limits) => {
    const { writes, entry } = planUpdate(hybrid, plan, settingsFromLimits(limits))
    const texts = (steps: typeof writes) => steps.map(({ path, text = '' }) => `${path} ${text}`.trim())
    return { writes: texts(writes), made: texts(entry.prepare), join: entry.join }
  }
  expect(update({ pids: 7 })).toEqual({ writes: ['/cg/pids/o/id/pids.max 7'], made: [], join: [] })
  expect(update({ pids: 7, cpus: 1 })).toEqual({
    writes: ['/cg/pids/o/id/pids.max 7'],
    made: [
      '/cg/cpu/o',
      '/cg/cpu/o/id',
      expect.stringMatching('^/cg/cpu/o/id/cpu.cfs_period_us '),
      '/cg/cpu/o/id/cpu.cfs_quota_us 100000',
    ],
    join: ['/cg/cpu/o/id/tasks'],
  })
  expect(() => update({ cpuset: '0' })).toThrow(expect.objectContaining({ code: 'ERR_CAISSON_LIMIT_UNAVAILABLE' }))
  // Memory and swap together are raised first, and lowered last.
  const [memory, together, tcp] = ['limit_in_bytes', 'memsw.limit_in_bytes', 'kmem.tcp.limit_in_bytes'].map(
    (file) => `/cg/memory/o/id/memory.${file}`,
  )
  expect(update({ memory: '2m' }).writes).toEqual([`${together} 2097152`, `${memory} 2097152`, `${tcp} 2097152`])
  expect(update({ memory: '512k' }).writes).toEqual([`${memory} 524288`, `${together} 524288`, `${tcp} 524288`])
})

test('a weight of one device, and swappiness where there is such a thing', () => {
  const settings = { ioDevices: [{ major: 8, minor: 16, weight: 2000 }] }
  const written = (plan: { prepare: Array<{ path: string; text?: string }> }) =>
    plan.prepare.map(({ path, text }) => `${path} = ${text}`)
  expect(written(planCgroup(v2, 'id', settings))).toContain('/cg/o/id/io.weight = 8:16 2000')
  const blkio = { hierarchy: hierarchy(['blkio']), directory: '/cg/blkio/o' }
  const v1 = { ...hybrid, legacy: [...hybrid.legacy, blkio] }
  expect(written(planCgroup(v1, 'id', settings))).toContain('/cg/blkio/o/id/blkio.bfq.weight_device = 8:16 1000')
  expect(written(planCgroup(hybrid, 'id', { swappiness: 10 }))).toContain('/cg/memory/o/id/memory.swappiness = 10')
  const unavailable = expect.objectContaining({ code: 'ERR_CAISSON_LIMIT_UNAVAILABLE', stage: 'cgroup: memory' })
  const plan = planCgroup(v2, 'id', {})
  for (const work of [() => planCgroup(v2, 'id', { swappiness: 10 }), () => planUpdate(v2, plan, { swappiness: 10 })])
    expect(work).toThrow(unavailable)
})
