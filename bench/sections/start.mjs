// Starting a program that does nothing, from the call to its result, against the runtimes that others use.
import path from 'node:path'
import { Image, run } from 'caisson'
import { commandTimer, interleave, median, timed } from '../lib/measure.mjs'
import { CRUN_SETUP, has, makeBundle, ociCommand } from '../lib/peers.mjs'
import { compare, figure, note, section } from '../lib/report.mjs'

export const title = 'run(true), from the call to the result'

export async function bench({ directory, rootfs, rounds }) {
  section(title)
  const image = await Image.fromRootfs(rootfs)
  const ours = (options) => () => timed(() => run(image, ['/bin/true'], options))
  const plain = { namespaces: { net: 'host' }, security: { seccomp: 'unconfined' } }
  const timer = commandTimer()
  const crun = commandTimer(CRUN_SETUP)
  try {
    if (has('crun')) {
      const bundle = await makeBundle(directory, rootfs)
      const full = await interleave({ ours: ours({}), crun: () => crun.run(ociCommand('crun', bundle)) }, { rounds })
      compare('crun run, same spec and profile', full.ours, full.crun, 0.15)
      const spaced = await interleave(
        { ours: ours({}), crun: () => crun.run(ociCommand('crun', bundle)) },
        { rounds: Math.ceil(rounds / 8), spacing: 500 },
      )
      compare('  the same, 0.5 s apart', spaced.ours, spaced.crun, 0.15)
      const libc = {
        ours: () => timed(() => run(image, ['/bin/true-libc'])),
        bundle: await makeBundle(directory, rootfs, { container: { command: ['/bin/true-libc'] } }),
      }
      const heavier = await interleave(
        { ours: libc.ours, crun: () => crun.run(ociCommand('crun', libc.bundle)) },
        { rounds },
      )
      compare('  the same, a program with a C library', heavier.ours, heavier.crun)
      const bare = await makeBundle(directory, rootfs, {
        change(spec) {
          delete spec.linux.seccomp
          spec.linux.namespaces = spec.linux.namespaces.filter(({ type }) => type !== 'network')
          spec.linux.sysctl = {}
        },
      })
      const without = await interleave(
        { ours: ours(plain), crun: () => crun.run(ociCommand('crun', bare)) },
        { rounds },
      )
      compare('crun run, both without net and seccomp', without.ours, without.crun, 0.35)
    }
    if (has('bwrap')) {
      const bwrap = ['bwrap', '--unshare-all', '--bind', rootfs, '/', '--proc', '/proc', '--dev', '/dev', '/bin/true']
      const samples = await interleave({ ours: ours({}), bwrap: () => timer.run(bwrap) }, { rounds })
      compare('bwrap --unshare-all', samples.ours, samples.bwrap, 0.7)
    }
    if (has('runc')) {
      const bundle = await makeBundle(directory, rootfs)
      const samples = await interleave(
        { ours: ours({}), runc: () => timer.run(ociCommand('runc', bundle)) },
        { rounds: Math.ceil(rounds / 2) },
      )
      compare('runc run', samples.ours, samples.runc, 0.08)
    }
    const limited = { limits: { memory: '64m', cpus: 1, pids: 64 } }
    const limits = await interleave({ without: ours({}), with: ours(limited) }, { rounds })
    figure('limits (memory, cpu, pids) add', median(limits.with) - median(limits.without), 'ms')
    const open = { security: { landlock: 'off', seccomp: 'unconfined' } }
    // A part of a run that is smaller than what one differs from the next by.
    const walls = await interleave({ without: ours(open), with: ours({}) }, { rounds: rounds * 5 })
    figure('Landlock and the seccomp profile add', median(walls.with) - median(walls.without), 'ms', 0.15)
  } finally {
    timer.close()
    crun.close()
  }
  note(`(root: ${path.basename(rootfs)} with a static true without a C library, on ${directory})`)
}
