// Starting a program through engines with a daemon, or a command-line tool that works like one.
import { execFileSync } from 'node:child_process'
import { Image, run } from 'caisson'
import { commandTimer, interleave, timed } from '../lib/measure.mjs'
import { has, podmanCommand, startDocker } from '../lib/peers.mjs'
import { compare, note, section } from '../lib/report.mjs'
import { rootfsArchive } from '../lib/stack.mjs'

export const title = 'run(true) against whole engines'

export async function bench({ directory, rootfs, rounds }) {
  section(title)
  const image = await Image.fromRootfs(rootfs)
  const ours = () => timed(() => run(image, ['/bin/true']))
  const archive = rootfsArchive(rootfs, directory)
  const few = Math.max(5, Math.ceil(rounds / 10))
  const timer = commandTimer()
  try {
    const docker = await startDocker(directory)
    if (docker) {
      try {
        const [program, ...args] = docker.command
        execFileSync(program, [...args, 'import', archive, 'bench'], { stdio: 'ignore' })
        const words = [...docker.command, 'run', '--rm', '--network', 'none', 'bench', '/bin/true']
        const samples = await interleave({ ours, docker: () => timer.run(words) }, { rounds: few, warmup: 1 })
        compare('docker run --network none', samples.ours, samples.docker, 0.015)
      } finally {
        await docker.stop()
      }
    } else note('dockerd: not here')
    if (has('podman')) {
      const podman = podmanCommand(directory, 'podman')
      podman.push('--cgroup-manager', 'cgroupfs', '--runtime', 'runc', '--events-backend', 'none')
      execFileSync(podman[0], [...podman.slice(1), 'import', archive, 'bench'], { stdio: 'ignore' })
      const words = [...podman, 'run', '--rm', '--network', 'none', '--log-driver', 'none']
      words.push('--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=1024:1024', 'bench', '/bin/true')
      const samples = await interleave({ ours, podman: () => timer.run(words) }, { rounds: few, warmup: 1 })
      compare('podman run --network none', samples.ours, samples.podman, 0.02)
    } else note('podman: not here')
  } finally {
    timer.close()
  }
}
