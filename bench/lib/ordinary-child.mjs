// The part of the ordinary user: measures, and leaves the samples in a file.
//   node ordinary-child.mjs ROOTFS DIRECTORY ROUNDS
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { Image, run } from 'caisson'
import { commandTimer, interleave, timed } from './measure.mjs'
import { has } from './peers.mjs'

const [rootfs, directory, rounds] = process.argv.slice(2)
const image = await Image.fromRootfs(rootfs)
const ours = () => timed(() => run(image, ['/bin/true']))
const timer = commandTimer()
const samples = {}
try {
  if (has('bwrap')) {
    const words = ['bwrap', '--unshare-all', '--ro-bind', rootfs, '/', '--proc', '/proc', '--dev', '/dev', '/bin/true']
    samples.bwrap = await interleave({ ours, theirs: () => timer.run(words) }, { rounds: Number(rounds) })
  }
  if (has('podman')) {
    const podman = ['podman', '--root', path.join(directory, 'podman'), '--runroot', path.join(directory, 'podman-run')]
    podman.push('--cgroup-manager', 'cgroupfs', '--runtime', 'crun', '--events-backend', 'none')
    const archive = path.join(directory, 'rootfs.tar')
    execFileSync('tar', ['-C', rootfs, '-cf', archive, '.'])
    execFileSync(podman[0], [...podman.slice(1), 'import', archive, 'bench'], { stdio: 'ignore' })
    const options = ['--rm', '--network', 'none', '--log-driver', 'none']
    const words = [...podman, 'run', ...options, 'bench', '/bin/true']
    samples.podman = await interleave(
      { ours, theirs: () => timer.run(words) },
      { rounds: Math.ceil(rounds / 6), warmup: 1 },
    )
  }
} catch (error) {
  console.log(String(error.stderr ?? error.message).split('\n')[0])
} finally {
  timer.close()
  // Files of its subordinate ids: nobody else can remove them.
  if (has('podman'))
    execFileSync('podman', ['unshare', 'rm', '-rf', path.join(directory, 'podman')], { stdio: 'ignore' })
}
writeFileSync(path.join(directory, 'samples.json'), JSON.stringify(samples))
