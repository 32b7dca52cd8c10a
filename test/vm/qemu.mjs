// One run of QEMU.
import { spawn, spawnSync } from 'node:child_process'
import { accessSync, constants, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { qemu } from './architectures.mjs'
import { cacheDirectory, findCommand } from './cache.mjs'

const PROBE_MS = 15_000

/** A virtual machine of fixed shape, with nothing that it does not need: no network, no display, no monitor. */
function machine({ architecture, accelerator, kernel, initramfs, memoryMib, commandLine }) {
  const args = ['-nodefaults', '-no-user-config', '-display', 'none', ...architecture.machine, '-no-reboot']
  const [how, cpu] = accelerator === 'tcg' ? ['tcg,thread=multi', architecture.emulated] : [accelerator, 'max']
  args.push('-accel', how, '-cpu', cpu, '-smp', '2')
  args.push('-m', String(memoryMib), '-kernel', kernel.image, '-initrd', initramfs)
  // Controllers are on cgroup v2 alone; a panic ends QEMU, because of -no-reboot.
  args.push('-append', `console=${architecture.console} quiet panic=-1 cgroup_no_v1=all mitigations=off ${commandLine}`)
  return args
}

/** KVM if a kernel really boots with it: /dev/kvm may be there and not work, as in some virtual machines. */
export function accelerator(architecture, kernel, initramfs) {
  if (architecture.name !== process.arch) return 'tcg'
  const chosen = process.env.CAISSON_VM_ACCEL
  if (chosen) return chosen
  try {
    accessSync('/dev/kvm', constants.R_OK | constants.W_OK)
  } catch {
    return 'tcg'
  }
  const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  const known = path.join(cacheDirectory, 'accelerator')
  const before = existsSync(known) ? readFileSync(known, 'utf8').split(' ') : []
  if (before[0] === boot) return before[1]
  const args = machine({
    architecture,
    accelerator: 'kvm',
    kernel,
    initramfs,
    memoryMib: 512,
    commandLine: 'caisson.probe',
  })
  const { stdout } = spawnSync(qemu(architecture), [...args, '-serial', 'stdio'], {
    encoding: 'utf8',
    timeout: PROBE_MS,
    killSignal: 'SIGKILL',
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const found = stdout?.includes('caisson-vm-works') ? 'kvm' : 'tcg'
  writeFileSync(known, `${boot} ${found}`)
  return found
}

/**
 * Boots, and waits until QEMU has ended. `disks` are images by serial number, the guest's changes to them are lost;
 * `ports` are what the guest writes to, by name: a file, or a stream of ours. `killed`: it ran out of time, or we
 * were `interrupted` by a signal.
 */
export async function boot({ disks, ports, consoleFile, timeoutMs, signal, ...shape }) {
  const args = machine({ ...shape, commandLine: '' })
  args.push('-serial', `file:${consoleFile}`)
  for (const [serial, file] of Object.entries(disks)) {
    args.push('-drive', `if=none,id=${serial},file=${option(file)},format=raw,snapshot=on,cache=unsafe,discard=unmap`)
    args.push('-device', `virtio-blk-pci,drive=${serial},serial=${serial}`)
  }
  args.push('-device', 'virtio-serial-pci')
  const stdio = ['ignore', 'ignore', 'inherit']
  const streams = []
  for (const [name, target] of Object.entries(ports)) {
    if (typeof target === 'string') args.push('-chardev', `file,id=${name},path=${option(target)}`)
    else {
      // Node's pipes are sockets.
      streams[stdio.push('pipe') - 1] = target
      args.push('-chardev', `socket,id=${name},fd=${stdio.length - 1}`)
    }
    args.push('-device', `virtserialport,chardev=${name},name=${name}`)
  }
  // Where QEMU has the snapshots, in files without a name.
  const temporary = path.join(cacheDirectory, 'tmp')
  mkdirSync(temporary, { recursive: true })
  const options = { stdio, env: { ...process.env, TMPDIR: temporary } }
  return await supervise(qemu(shape.architecture), args, options, { timeoutMs, signal, streams })
}

/** A comma would end the value. */
function option(file) {
  return file.replaceAll(',', ',,')
}

/** Whatever happens to this process, QEMU ends: by its time, by our end, or with us when somebody kills us. */
async function supervise(command, args, options, { timeoutMs, signal, streams }) {
  const setpriv = findCommand('setpriv')
  const child = setpriv
    ? spawn(setpriv, ['--pdeathsig', 'KILL', command, ...args], options)
    : spawn(command, args, options)
  streams.forEach((stream, fd) => {
    child.stdio[fd].pipe(stream, { end: false })
  })
  let killed = false
  let interrupted
  const kill = () => {
    killed = true
    child.kill('SIGKILL')
  }
  const timer = setTimeout(kill, timeoutMs)
  signal?.addEventListener('abort', kill, { once: true })
  process.once('exit', kill)
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP']
  const onSignal = (signal) => {
    interrupted = signal
    kill()
  }
  for (const signal of signals) process.once(signal, onSignal)
  try {
    const status = await new Promise((resolve, reject) => {
      child.once('error', reject)
      child.once('close', resolve)
    })
    return { status, killed, interrupted }
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', kill)
    process.removeListener('exit', kill)
    for (const signal of signals) process.removeListener(signal, onSignal)
  }
}
