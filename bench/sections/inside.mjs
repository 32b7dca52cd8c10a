// What only a library can be asked: a large process, the event loop, prepared and held containers, output.
import { spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { Container, Image, Pool, run } from 'caisson'
import { commandTimer, interleave, median, percentile, root, timed } from '../lib/measure.mjs'
import { CRUN_SETUP, has, makeBundle } from '../lib/peers.mjs'
import { atLeast, compare, figure, note, section } from '../lib/report.mjs'

export const title = 'Inside a Node process'

export async function bench(context) {
  section(title)
  const image = await Image.fromRootfs(context.rootfs)
  await largeHeap(context)
  await eventLoop(image)
  await pool(image, context)
  await exec(image, context)
  await throughput(image, context)
  await held(image)
  await output(image)
}

/** The same loop in a small process and in one with 1 GB of live heap. */
async function largeHeap({ rootfs, rounds }) {
  const script = path.join(root, 'bench/lib/heap-child.mjs')
  const child = (megabytes) => {
    const process_ = spawn(process.execPath, ['--max-old-space-size=4096', script, rootfs, String(megabytes)], {
      cwd: root,
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    let give
    process_.stdout.on('data', (chunk) => {
      for (const line of String(chunk).trim().split('\n')) give?.(Number(line))
    })
    return {
      once: () =>
        new Promise((resolve) => {
          give = resolve
          process_.stdin.write('go\n')
        }),
      end: () => process_.stdin.end(),
    }
  }
  const [small, large] = [child(50), child(1000)]
  await Promise.all([small.once(), large.once()])
  const samples = await interleave({ large: large.once, small: small.once }, { rounds })
  compare('from a process of 1 GB, against 50 MB', samples.large, samples.small, 1.2)
  small.end()
  large.end()
}

async function eventLoop(image) {
  // What a process does once is no part of it.
  for (let i = 0; i < 5; i++) await run(image, ['/bin/true'])
  const delays = []
  const times = []
  for (let round = 0; round < 9; round++) {
    const delay = monitorEventLoopDelay({ resolution: 1 })
    delay.enable()
    times.push(await timed(() => Promise.all(Array.from({ length: 50 }, () => run(image, ['/bin/true'])))))
    delay.disable()
    // The monitor's own period is part of what it reports.
    delays.push(delay.percentile(99) / 1e6 - 1)
  }
  figure('event-loop delay p99 while 50 start', median(delays), 'ms', 5)
  note(`(50 at once: ${median(times).toFixed(0)} ms)`)
}

async function pool(image, { rounds }) {
  const prepared = new Pool(image, { size: 4 })
  const cold = () => timed(() => run(image, ['/bin/true'], { namespaces: { net: 'host' } }))
  const warm = async () => {
    await prepared.ready()
    return timed(() => prepared.run(['/bin/true']))
  }
  const samples = await interleave({ warm, cold }, { rounds })
  compare('Pool.run(true), against cold without net', samples.warm, samples.cold, 0.6)
  await prepared[Symbol.asyncDispose]()
}

async function exec(image, { directory, rootfs, rounds }) {
  if (!has('crun')) return note('crun: not here')
  const container = await Container.create(image, { command: ['/bin/sleep', '1000'] })
  await container.start()
  const ours = () => timed(() => container.exec(['/bin/true']))
  const bundle = await makeBundle(directory, rootfs, { container: { command: ['/bin/sleep', '1000'] } })
  const timer = commandTimer(CRUN_SETUP)
  const id = `bench-exec-${process.pid}`
  try {
    await timer.run(['crun', 'run', '-d', '-b', bundle, id])
    const samples = await interleave({ ours, crun: () => timer.run(['crun', 'exec', id, '/bin/true']) }, { rounds })
    compare('exec(true), against crun exec', samples.ours, samples.crun, 0.2)
  } finally {
    await timer.run(['crun', 'delete', '-f', id])
    timer.close()
    await container.remove({ force: true })
  }
}

/** Containers a second; the peers at whatever parallelism suits them best, which is found first. */
async function throughput(image, { directory, rootfs }) {
  const total = 300
  const rate = async (parallel, one) => {
    let next = 0
    const ms = await timed(() =>
      Promise.all(
        Array.from({ length: parallel }, async (_, lane) => {
          while (next++ < total) await one(lane)
        }),
      ),
    )
    return (total / ms) * 1000
  }
  const against = async (name, bound, make, setup) => {
    const timers = Array.from({ length: 8 }, () => commandTimer(setup))
    const theirs = (parallel) => rate(parallel, (lane) => timers[lane].run(make()))
    const tried = []
    for (const parallel of [1, 2, 4, 8]) tried.push({ parallel, rate: await theirs(parallel) })
    const { parallel } = tried.reduce((best, one) => (one.rate > best.rate ? one : best))
    const ours = () => rate(8, () => run(image, ['/bin/true']))
    const samples = await interleave({ ours, theirs: () => theirs(parallel) }, { rounds: 5, warmup: 1, spacing: 500 })
    for (const timer of timers) timer.close()
    const what = `containers a second, 8 in flight, against ${name}'s best`
    atLeast(what, median(samples.ours), median(samples.theirs), bound, '/s')
  }
  if (has('crun')) {
    const bundle = await makeBundle(directory, rootfs)
    let count = 0
    await against('crun', 3, () => ['crun', 'run', '-b', bundle, `bench-${process.pid}-${count++}`], CRUN_SETUP)
  }
  if (has('bwrap')) {
    const words = ['bwrap', '--unshare-all', '--bind', rootfs, '/', '--proc', '/proc', '--dev', '/dev', '/bin/true']
    await against('bwrap', 1.5, () => words)
  }
}

/** Garbage is no growth. */
function collect() {
  setFlagsFromString('--expose-gc')
  runInNewContext('gc')()
}

/** Processes besides the programs themselves, and memory of ours. */
async function held(image) {
  const count = 200
  // The dead wait for the host's init, whenever that looks.
  const lives = (pid) => {
    try {
      return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
    } catch {
      return false
    }
  }
  const processes = () => readdirSync('/proc').filter((name) => /^\d+$/.test(name) && lives(name)).length
  const memory = () => {
    collect()
    return Number(/VmRSS:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]) * 1024
  }
  await run(image, ['/bin/true'])
  const before = { processes: processes(), memory: memory() }
  const containers = []
  for (let i = 0; i < count; i++) {
    const container = await Container.create(image, { command: ['/bin/sleep', '1000'] })
    await container.start()
    containers.push(container)
  }
  const after = { processes: processes(), memory: memory() }
  figure('200 held: extra processes', after.processes - before.processes - count, '', 0)
  figure('200 held: growth of the process, each', (after.memory - before.memory) / count / 1000, 'kB', 60)
  await Promise.all(containers.map((container) => container.remove({ force: true })))
}

/** 1 GB through a stream, against the same program as a plain child process. */
async function output(image) {
  const size = 1e9
  const drain = async (stream) => {
    let total = 0
    for await (const chunk of stream) total += chunk.length
    if (total !== size) throw new Error(`${total} bytes came`)
  }
  const command = ['head', '-c', String(size), '/dev/zero']
  const ours = () =>
    timed(async () => {
      const execution = run(image, ['/bin/head', ...command.slice(1)])
      await drain(execution.stdout)
      await execution
    })
  const theirs = () =>
    timed(async () => {
      const child = spawn('/bin/busybox', command, { stdio: ['ignore', 'pipe', 'inherit'] })
      await drain(child.stdout)
    })
  const samples = await interleave({ ours, theirs }, { rounds: 3, warmup: 1 })
  const rates = (list) => list.map((ms) => size / 1e6 / (ms / 1000))
  atLeast(
    '1 GB through stdout, against child_process',
    percentile(rates(samples.ours), 50),
    percentile(rates(samples.theirs), 50),
    0.9,
    'MB/s',
  )
}
