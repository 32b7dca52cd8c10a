// What a virtual machine is called by those who make its parts. That of this machine is made of what is installed here.
import { findCommand, Unavailable } from './cache.mjs'

export const ARCHITECTURES = {
  x64: {
    debian: 'amd64',
    kernel: 'linux-image-cloud-amd64',
    qemu: 'qemu-system-x86_64',
    qemuPackage: 'qemu-system-x86',
    machine: ['-machine', 'q35'],
    emulated: 'max',
    console: 'ttyS0',
  },
  arm64: {
    debian: 'arm64',
    kernel: 'linux-image-cloud-arm64',
    qemu: 'qemu-system-aarch64',
    qemuPackage: 'qemu-system-arm',
    compiler: 'aarch64-linux-gnu-g++',
    compilerPackage: 'g++-aarch64-linux-gnu',
    machine: ['-machine', 'virt'],
    // With what newer ones can do, Node crashes after a minute or two of QEMU 7.2's emulation, without a container too.
    emulated: 'cortex-a72',
    console: 'ttyAMA0',
  },
}

export function describeArchitecture(name) {
  const found = ARCHITECTURES[name]
  if (!found) throw new Unavailable(`there is no virtual machine of ${name}`)
  return { name, ...found }
}

/** The path of its emulator. */
export function qemu({ qemu, qemuPackage }) {
  const command = process.env.CAISSON_VM_QEMU || findCommand(qemu)
  if (!command) throw new Unavailable(`${qemu} is not installed (Debian: ${qemuPackage})`)
  return command
}
