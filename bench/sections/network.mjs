// Bridge networks against dockerd's: in a network namespace of their own, so that the machine's stays as it is.
import { execFileSync, spawnSync } from 'node:child_process'
import path from 'node:path'
import { Container, Image, Network, run } from 'caisson'
import { commandTimer, interleave, timed } from '../lib/measure.mjs'
import { startDocker } from '../lib/peers.mjs'
import { compare, note, section } from '../lib/report.mjs'

export const title = 'networks against dockerd'

const ALONE = 'CAISSON_BENCH_NETWORK'
const MEGABYTES = 2000

export async function bench({ directory, rootfs, rounds }) {
  if (process.getuid() !== 0) return note('networks: bridge networks are for root')
  if (!process.env[ALONE]) {
    const main = path.join(import.meta.dirname, '../main.mjs')
    const words = ['--net', '--mount', process.execPath, main, 'network', '--rounds', String(rounds)]
    spawnSync('unshare', words, { stdio: 'inherit', env: { ...process.env, [ALONE]: '1' } })
    return
  }
  section(title)
  execFileSync('ip', ['link', 'set', 'lo', 'up'])
  execFileSync('gcc', [
    '-O2',
    '-static',
    '-o',
    path.join(rootfs, 'bin/lookup'),
    path.join(import.meta.dirname, '../native/lookup.c'),
  ])
  execFileSync('ln', ['-sf', 'busybox', path.join(rootfs, 'bin/nc')])
  const image = await Image.fromRootfs(rootfs)
  const docker = await startDocker(directory, { network: true })
  if (!docker) return note('dockerd: not here')
  const timer = commandTimer()
  const [program, ...words] = docker.command
  const client = (...args) => execFileSync(program, [...words, ...args], { encoding: 'utf8' }).trim()
  try {
    const archive = path.join(directory, 'network.tar')
    execFileSync('tar', ['-C', rootfs, '-cf', archive, '.'])
    client('import', archive, 'bench-network')
    const few = Math.max(5, Math.ceil(rounds / 6))
    const start = await interleave(
      {
        ours: () => timed(() => run(image, ['/bin/true'], { network: 'bridge', ports: [{ container: 80 }] })),
        docker: () =>
          timer.run([...docker.command, 'run', '--rm', '-p', '127.0.0.1::80', 'bench-network', '/bin/true']),
      },
      { rounds: few, warmup: 2 },
    )
    compare('docker run -p, a published port', start.ours, start.docker, 0.03)
    await throughput(image, client)
    await lookups(image, client)
  } finally {
    timer.close()
    await docker.stop()
  }
}

const SINK = ['/bin/sh', '-c', 'while :; do nc -l -p 5000 > /dev/null; done']
const SEND = (host, port) => `dd if=/dev/zero bs=1M count=${MEGABYTES} 2>/dev/null | /bin/busybox nc ${host} ${port}`

async function throughput(image, client) {
  const network = await Network.create()
  const ours = await Container.create(image, { network, command: SINK, ports: [{ container: 5000 }] })
  await ours.start()
  const theirs = client('run', '-d', '-p', '127.0.0.1::5000', 'bench-network', ...SINK)
  try {
    await new Promise((resolve) => setTimeout(resolve, 500))
    const theirPort = client('port', theirs, '5000').split('\n')[0].split(':')[1]
    const send = (port) => timed(() => execFileSync('sh', ['-c', SEND('127.0.0.1', port)]))
    const published = await interleave(
      { ours: () => send(ours.port(5000).port), docker: () => send(theirPort) },
      { rounds: 5, warmup: 1 },
    )
    compare('seconds for 2 GB through a port on loopback', published.ours, published.docker, 1)
    const { containers } = await network.inspect()
    const from = await Container.create(image, { network, command: ['/bin/sleep', '600'] })
    await from.start()
    const other = client('run', '-d', 'bench-network', '/bin/sleep', '600')
    const address = client('inspect', '-f', '{{.NetworkSettings.IPAddress}}', theirs)
    const between = await interleave(
      {
        ours: () => timed(() => from.exec(['/bin/sh', '-c', SEND(containers[0].ipv4, 5000)])),
        docker: () => timed(() => client('exec', other, '/bin/sh', '-c', SEND(address, 5000))),
      },
      { rounds: 5, warmup: 1 },
    )
    compare('seconds for 2 GB between containers', between.ours, between.docker, 1)
    await from.remove({ force: true })
    client('rm', '-f', other)
  } finally {
    await ours.remove({ force: true })
    await network.remove()
    client('rm', '-f', theirs)
  }
}

async function lookups(image, client) {
  const network = await Network.create()
  const ours = await Container.create(image, { name: 'bench-name', network, command: ['/bin/sleep', '600'] })
  await ours.start()
  client('network', 'create', 'bench')
  const theirs = client('run', '-d', '--name', 'bench-name', '--network', 'bench', 'bench-network', '/bin/sleep', '600')
  try {
    const words = ['/bin/lookup', 'bench-name', '2000']
    const samples = await interleave(
      {
        ours: async () => Number((await ours.exec(words)).stdout) / 1000,
        docker: async () => Number(client('exec', theirs, ...words)) / 1000,
      },
      { rounds: 5, warmup: 1 },
    )
    compare('name of a container, looked up (median)', samples.ours, samples.docker, 0.7)
  } finally {
    await ours.remove({ force: true })
    await network.remove()
    client('rm', '-f', theirs)
    client('network', 'rm', 'bench')
  }
}
