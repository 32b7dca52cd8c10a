// Images: pulled, unpacked, pushed and run, against engines and archivers. Everything lies on a tmpfs.
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, rmSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import path from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { Image, run } from 'caisson'
import { extract } from 'tar'
import { startRegistry } from '../../examples/registry.mjs'
import { debianArchive, largeArchive, manyFiles } from '../lib/images.mjs'
import { commandTimer, interleave, median, root, timed } from '../lib/measure.mjs'
import { has, podmanCommand, startDocker } from '../lib/peers.mjs'
import { compare, figure, note, section } from '../lib/report.mjs'
import { rootfsArchive, stackArchive, thinLayer } from '../lib/stack.mjs'

export const title = 'Images'

export async function bench({ directory, rounds }) {
  section(title)
  if (!has('docker-registry') || !has('mmdebstrap')) return note('docker-registry or mmdebstrap: not here')
  const registry = await startRegistry(directory)
  const few = Math.max(3, Math.ceil(rounds / 12))
  const context = { directory, host: registry.host, few, timer: commandTimer() }
  try {
    const debian = await Image.fromRootfs(debianArchive(path.join(root, '.cache/bench')), { Cmd: ['/bin/sh'] })
    await debian.tag(`${registry.host}/debian:12`)
    await debian.push()
    await pulls(context)
    await pushes(context, debian)
    await layers(context)
    await stacks(context, rounds)
    await memory(context)
  } finally {
    context.timer.close()
    registry.stop()
  }
}

let stores = 0

/** With a store that has nothing. */
async function inFreshStore({ directory }, work) {
  const before = process.env.CAISSON_ROOT
  const place = path.join(directory, `store-${stores++}`)
  process.env.CAISSON_ROOT = place
  try {
    return await work()
  } finally {
    process.env.CAISSON_ROOT = before
    rmSync(place, { recursive: true, force: true })
  }
}

async function pulls(context) {
  const { directory, host, few, timer } = context
  const reference = `${host}/debian:12`
  const ours = () => inFreshStore(context, () => timed(() => Image.pull(reference)))
  const docker = await startDocker(directory)
  if (docker) {
    const [program, ...args] = docker.command
    const once = async () => {
      const ms = await timer.run([...docker.command, 'pull', '-q', reference])
      execFileSync(program, [...args, 'rmi', '-f', reference], { stdio: 'ignore' })
      return ms
    }
    try {
      const samples = await interleave({ ours, docker: once }, { rounds: few, warmup: 1 })
      compare('pull and unpack Debian 12, against docker pull', samples.ours, samples.docker, 0.4)
    } finally {
      await docker.stop()
    }
  } else note('dockerd: not here')
  if (has('podman')) {
    const podman = podmanCommand(directory, 'podman-images')
    const once = async () => {
      const ms = await timer.run([...podman, 'pull', '-q', '--tls-verify=false', reference])
      execFileSync(podman[0], [...podman.slice(1), 'rmi', '-f', reference], { stdio: 'ignore' })
      return ms
    }
    const samples = await interleave({ ours, podman: once }, { rounds: few, warmup: 1 })
    compare('  the same, against podman pull', samples.ours, samples.podman, 0.36)
  }
  const delays = []
  for (let i = 0; i < few; i++)
    await inFreshStore(context, async () => {
      const delay = monitorEventLoopDelay({ resolution: 1 })
      delay.enable()
      await Image.pull(reference)
      delay.disable()
      // The monitor's own period is part of what it reports.
      delays.push(delay.percentile(99) / 1e6 - 1)
    })
  figure('event-loop delay p99 during a pull', median(delays), 'ms', 10)
}

async function pushes({ host, few, timer }, debian) {
  if (!has('skopeo')) return note('skopeo: not here')
  let count = 0
  // A repository of its own each time: the registry has nothing there.
  const ours = () => timed(() => debian.push(`${host}/ours/debian-${count++}:12`))
  const from = `oci:${process.env.CAISSON_ROOT}:${host}/debian:12`
  const theirs = () => {
    const to = `docker://${host}/theirs/debian-${count++}:12`
    return timer.run(['skopeo', '--insecure-policy', 'copy', '-q', '--dest-tls-verify=false', from, to])
  }
  const samples = await interleave({ ours, theirs }, { rounds: few, warmup: 1 })
  compare('push of the same, against skopeo copy', samples.ours, samples.theirs, 0.8)
}

async function layers({ directory, few, timer }) {
  const archive = manyFiles(directory, 19_000)
  let count = 0
  const fresh = () => {
    const at = path.join(directory, `unpacked-${count++}`)
    mkdirSync(at)
    return at
  }
  const removing = async (work) => {
    const at = fresh()
    try {
      return await work(at)
    } finally {
      rmSync(at, { recursive: true, force: true })
    }
  }
  const ours = () => timed(() => Image.fromRootfs(archive))
  const tar = () => removing((at) => timer.run(['tar', '-xzf', archive, '-C', at]))
  const nodeTar = () => removing((at) => timed(() => extract({ file: archive, cwd: at })))
  const samples = await interleave({ ours, tar }, { rounds: few, warmup: 1 })
  compare('apply a layer of 19,000 entries, against tar -xzf', samples.ours, samples.tar, 0.75)
  const slow = await interleave({ ours, nodeTar }, { rounds: 3, warmup: 0 })
  compare('  the same, against node-tar', slow.ours, slow.nodeTar, 0.1)
  await sixLayers({ directory, few })
}

/**
 * The same bytes as one image of six layers, and as six of one, unpacked one after the other. One layer keeps more than one
 * processor busy already, since it is decoded, hashed and unpacked by threads of its own; the second row takes that away
 * from those that are unpacked one after the other, so that it shows what both kinds of threads gain together.
 */
async function sixLayers({ directory, few }) {
  const archives = Array.from({ length: 6 }, (_, i) => manyFiles(directory, 4000 + i))
  const together = stackArchive(archives, path.join(directory, 'together.tar'))
  const single = archives.map((archive, i) => stackArchive([archive], path.join(directory, `single-${i}.tar`)))
  const child = path.join(root, 'bench/lib/unpack-child.mjs')
  const busy = { together: [], apart: [], pinned: [] }
  const unpack = (name, files, before = []) =>
    inFreshStore({ directory }, () => {
      const [program, ...args] = [...before, process.execPath, child, ...files]
      const told = JSON.parse(execFileSync(program, args, { cwd: root, encoding: 'utf8' }))
      busy[name].push(told.busy)
      return told.ms
    })
  const samples = await interleave(
    {
      together: () => unpack('together', [together]),
      apart: () => unpack('apart', single),
      pinned: () => unpack('pinned', single, ['taskset', '--cpu-list', '0']),
    },
    { rounds: few, warmup: 1 },
  )
  compare('six layers at once, against one after the other', samples.together, samples.apart, 0.65)
  compare('  the same, against one after the other on one processor', samples.together, samples.pinned, 0.65)
  const shares = Object.values(busy).map((each) => median(each).toFixed(2))
  note(`(processors busy: ${shares.join(', ')} of ${availableParallelism()})`)
}

async function stacks({ directory }, rounds) {
  const base = rootfsArchive(path.join(directory, 'rootfs'), directory)
  const thin = Array.from({ length: 9 }, (_, i) => thinLayer(directory, i))
  const one = await Image.load(stackArchive([base], path.join(directory, 'one.tar')))
  const ten = await Image.load(stackArchive([base, ...thin], path.join(directory, 'ten.tar')))
  const samples = await interleave(
    { ten: () => timed(() => run(ten, ['/bin/true'])), one: () => timed(() => run(one, ['/bin/true'])) },
    { rounds, warmup: 5 },
  )
  compare('run from an image of 10 layers, against 1', samples.ten, samples.one, 1.2)
}

async function memory({ directory, host }) {
  const file = stackArchive([largeArchive(directory, 2e9)], path.join(directory, 'large-image.tar'))
  rmSync(path.join(directory, 'large.tar'))
  const image = await Image.load(file)
  rmSync(file)
  await image.tag(`${host}/large:1`)
  await image.push(`${host}/large:1`)
  await image.remove({ force: true })
  const child = path.join(root, 'bench/lib/pull-child.mjs')
  const env = { ...process.env, CAISSON_ROOT: path.join(directory, 'large-store') }
  const { stdout } = spawnSync(process.execPath, [child, `${host}/large:1`, `${host}/debian:12`], {
    cwd: root,
    env,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  figure('peak memory of a pull of 2 GB, above idle', Number(stdout) / 1000, 'MB', 64)
}
