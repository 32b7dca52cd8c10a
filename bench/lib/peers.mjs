// The other runtimes, set up to do the same: the same root, namespaces, seccomp profile and capabilities.
import { execFileSync, spawn } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { Container, Image } from 'caisson'

export function has(command) {
  try {
    execFileSync('sh', ['-c', `command -v ${command}`], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

export function version(command, args = ['--version']) {
  try {
    return execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
      .split('\n')[0]
      .trim()
  } catch {
    return `${command}: not here`
  }
}

/** What a C library does before `main` is no runtime's time: 0.3 ms where a virtual machine traps cpuid, as glibc's does. */
const TRUE = {
  true: [
    `_Noreturn void _start(void) {
#if defined(__x86_64__)
      __asm__ volatile("syscall" : : "a"(60), "D"(0));
#else
      register long number __asm__("x8") = 93, status __asm__("x0") = 0;
      __asm__ volatile("svc 0" : : "r"(number), "r"(status));
#endif
      __builtin_unreachable();
    }\n`,
    '-nostdlib',
  ],
  'true-libc': ['int main(void) { return 0; }\n'],
}

/** A root of busybox and two static programs that do nothing at all, without and with a C library. */
export function makeRootfs(directory) {
  const rootfs = path.join(directory, 'rootfs')
  for (const name of ['bin', 'dev', 'etc', 'proc', 'sys', 'tmp', 'usr'])
    mkdirSync(path.join(rootfs, name), { recursive: true })
  copyFileSync('/bin/busybox', path.join(rootfs, 'bin/busybox'))
  for (const applet of ['sh', 'sleep', 'cat', 'head', 'ls']) symlinkSync('busybox', path.join(rootfs, 'bin', applet))
  for (const [name, [text, ...flags]] of Object.entries(TRUE)) {
    const source = path.join(directory, `${name}.c`)
    writeFileSync(source, text)
    execFileSync('gcc', ['-O2', '-static', ...flags, '-o', path.join(rootfs, 'bin', name), source])
  }
  return rootfs
}

/**
 * A bundle for crun and runc as caisson itself writes it, with the layers already put together: so the peers are spared
 * the overlay mounts, which caisson makes anew each time.
 */
export async function makeBundle(directory, rootfs, options = {}) {
  const bundle = path.join(directory, `bundle-${Math.random().toString(36).slice(2)}`)
  mkdirSync(bundle)
  const container = await Container.create(await Image.fromRootfs(rootfs), {
    command: ['/bin/true'],
    ...options.container,
  })
  const spec = JSON.parse(readFileSync(path.join(container.inspect().bundle, 'config.json'), 'utf8'))
  await container.remove()
  spec.root = { path: rootfs, readonly: false }
  spec.mounts = spec.mounts.filter((mount) => mount.type !== 'overlay' && mount.type !== 'bind')
  options.change?.(spec)
  writeFileSync(path.join(bundle, 'config.json'), JSON.stringify(spec))
  return bundle
}

/** crun 1.8 refuses a hybrid host with any controller on v2: for it, v2 is taken out of sight. */
export const CRUN_SETUP = 'umount /sys/fs/cgroup/unified 2>/dev/null'

export function ociCommand(name, bundle, extra = []) {
  const id = `bench-${process.pid}-${Math.random().toString(36).slice(2)}`
  return [name, ...extra, 'run', '-b', bundle, id]
}

/** podman with images and containers of its own, called `name`. */
export function podmanCommand(directory, name) {
  return ['podman', '--root', path.join(directory, name), '--runroot', path.join(directory, `${name}-run`)]
}

/** `network`: with its bridge and its rules, for a network namespace of its own. */
export async function startDocker(directory, { network = false } = {}) {
  if (!has('dockerd') || !has('docker')) return undefined
  const socket = path.join(directory, 'docker.sock')
  const log = path.join(directory, 'dockerd.log')
  const out = (await import('node:fs')).openSync(log, 'w')
  const daemon = spawn(
    'dockerd',
    [
      '--data-root',
      path.join(directory, 'docker'),
      '--exec-root',
      path.join(directory, 'docker-run'),
      '-H',
      `unix://${socket}`,
    ].concat([
      '--pidfile',
      path.join(directory, 'docker.pid'),
      ...(network ? [] : ['--iptables=false', '--ip6tables=false', '--bridge=none']),
    ]),
    { stdio: ['ignore', out, out] },
  )
  for (let i = 0; i < 300 && daemon.exitCode === null; i++) {
    if (existsSync(socket)) {
      try {
        execFileSync('docker', ['-H', `unix://${socket}`, 'version'], { stdio: 'ignore' })
        break
      } catch {
        // not yet
      }
    }
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  if (daemon.exitCode !== null) return undefined
  return {
    command: ['docker', '-H', `unix://${socket}`],
    async stop() {
      daemon.kill('SIGTERM')
      await new Promise((resolve) => daemon.once('exit', resolve))
    },
  }
}
