// Bridge networks against dockerd's and podman's: in a network namespace of their own, so that the machine's stays as it is.
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { Container, compose, Image, Network, run } from 'caisson'
import { commandTimer, interleave, timed } from '../lib/measure.mjs'
import { has, podmanCommand, startDocker } from '../lib/peers.mjs'
import { compare, note, section } from '../lib/report.mjs'

export const title = 'networks against dockerd and podman'

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
  for (const program of ['lookup', 'stream']) {
    const source = path.join(import.meta.dirname, `../native/${program}.c`)
    execFileSync('gcc', ['-O2', '-static', '-o', path.join(rootfs, 'bin', program), source])
  }
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
    await againstPodman({ image, archive, directory, timer, few })
    await throughput(image, client, path.join(rootfs, 'bin/stream'))
    await outward(image, path.join(rootfs, 'bin/stream'))
    await lookups(image, client)
    await projects(image, docker, timer, directory)
  } finally {
    timer.close()
    await docker.stop()
  }
}

const SINK = ['/bin/stream', 'sink', '5000']
/** Its containers have network namespaces by name, in a directory that is not the machine's. */
async function againstPodman({ image, archive, directory, timer, few }) {
  if (!has('podman')) return note('podman: not here')
  execFileSync('sh', ['-c', 'mkdir -p /run/netns && mount -t tmpfs tmpfs /run/netns'])
  const podman = podmanCommand(directory, 'podman-network')
  podman.push('--cgroup-manager', 'cgroupfs', '--runtime', 'runc', '--events-backend', 'none')
  execFileSync(podman[0], [...podman.slice(1), 'import', archive, 'bench'], { stdio: 'ignore' })
  // Its usual ones are above what this process may give.
  const limits = ['nofile', 'nproc'].flatMap((name) => ['--ulimit', `${name}=1024:1024`])
  const options = ['--rm', '--log-driver', 'none', ...limits, '-p', '127.0.0.1::80']
  const words = [...podman, 'run', ...options, 'bench', '/bin/true']
  const ours = () => timed(() => run(image, ['/bin/true'], { network: 'bridge', ports: [{ container: 80 }] }))
  const samples = await interleave({ ours, podman: () => timer.run(words) }, { rounds: few, warmup: 2 })
  compare('podman run -p, the same', samples.ours, samples.podman, 0.03)
  // Some versions leave this mounted on itself.
  spawnSync('umount', [path.join(directory, 'podman-network/overlay')], { stdio: 'ignore' })
}

const send = (host, port) => ['send', host, String(port), String(MEGABYTES)]

/** @param program of the host; containers have the same one. */
async function throughput(image, client, program) {
  const network = await Network.create()
  const ours = await Container.create(image, { network, command: SINK, ports: [{ container: 5000 }] })
  await ours.start()
  const theirs = client('run', '-d', '-p', '127.0.0.1::5000', 'bench-network', ...SINK)
  try {
    await new Promise((resolve) => setTimeout(resolve, 500))
    const theirPort = client('port', theirs, '5000').split('\n')[0].split(':')[1]
    const through = (port) => timed(() => execFileSync(program, send('127.0.0.1', port)))
    const published = await interleave(
      { ours: () => through(ours.port(5000).port), docker: () => through(theirPort) },
      { rounds: 5, warmup: 1 },
    )
    compare('2 GB through a port on loopback', published.ours, published.docker, 1)
    const { containers } = await network.inspect()
    const from = await Container.create(image, { network, command: ['/bin/sleep', '600'] })
    await from.start()
    const other = client('run', '-d', 'bench-network', '/bin/sleep', '600')
    const address = client('inspect', '-f', '{{.NetworkSettings.IPAddress}}', theirs)
    const between = await interleave(
      {
        ours: () => timed(() => from.exec(['/bin/stream', ...send(containers[0].ipv4, 5000)], { throwOnError: true })),
        docker: () => timed(() => client('exec', other, '/bin/stream', ...send(address, 5000))),
      },
      { rounds: 5, warmup: 1 },
    )
    compare('2 GB between containers', between.ours, between.docker, 1)
    await from.remove({ force: true })
    client('rm', '-f', other)
  } finally {
    await ours.remove({ force: true })
    await network.remove()
    client('rm', '-f', theirs)
  }
}

/** What an egress policy costs, which has a relay between. Against no network of its own at all. */
async function outward(image, program) {
  const sink = spawn(program, ['sink', '5001'], { stdio: 'inherit' })
  const egress = ({ protocol }) => (protocol === 'dns' ? 'deny' : { rewrite: '127.0.0.1:5001' })
  const to = (address, options) =>
    run(image, ['/bin/stream', ...send(address, 5001)], { throwOnError: true, ...options })
  try {
    await new Promise((resolve) => setTimeout(resolve, 200))
    const samples = await interleave(
      {
        policy: () => timed(() => to('203.0.113.1', { egress })),
        plain: () => timed(() => to('127.0.0.1', { network: 'host' })),
      },
      { rounds: 5, warmup: 1 },
    )
    compare("2 GB by an egress policy, against the host's loopback", samples.policy, samples.plain, 3.3)
  } finally {
    sink.kill()
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

const SERVICES = 10

/** A project brought up and taken down again. Programs end at once, so that no time of grace is measured. */
async function projects(image, docker, timer, directory) {
  if (!has('docker-compose')) return note('docker-compose: not here')
  await image.tag('bench-network')
  const service = '{ image: "bench-network:latest", command: ["/bin/sleep", "600"], stop_signal: SIGKILL }'
  const names = Array.from({ length: SERVICES }, (_, i) => `  service${i}: ${service}\n`)
  const file = path.join(directory, 'compose.yaml')
  writeFileSync(file, `version: "3.7"\nservices:\n${names.join('')}`)
  // It tells all it does.
  const quiet = ['sh', '-c', 'exec "$0" "$@" 2>/dev/null']
  const words = [...quiet, 'docker-compose', ...docker.command.slice(1), '-f', file, '-p', 'bench']
  const samples = await interleave(
    {
      ours: () =>
        timed(async () => {
          const project = await compose(file, { projectName: 'bench' })
          await project.up()
          await project.down()
        }),
      docker: async () => (await timer.run([...words, 'up', '-d'])) + (await timer.run([...words, 'down'])),
    },
    { rounds: 3, warmup: 1 },
  )
  compare(`a project of ${SERVICES} services, up and down`, samples.ours, samples.docker, 0.1)
}
