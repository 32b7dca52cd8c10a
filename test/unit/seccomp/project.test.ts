import { projectFilter } from '../../../lib/seccomp/project.js'
import { syscallNumbers } from '../../../lib/seccomp/syscalls.js'
import { AUDIT_ARCH, checkFilter, runFilter } from '../../support/bpf.js'

const ALLOW = 0x7fff0000
const EPERM = 0x50001
const KILL_PROCESS = 0x80000000

describe.each(['x64', 'arm64'] as const)('the filter that keeps files in their project, on %s', (arch) => {
  const filter = projectFilter(arch)
  const decide = (name: string, request = 0n, of: keyof typeof AUDIT_ARCH = arch) => {
    const number = syscallNumbers(arch).get(name) as number
    return runFilter(filter, { arch: AUDIT_ARCH[of], number, args: [3n, request] }).action
  }

  test('refuses what changes attributes of files, whatever the upper half of the request says', () => {
    checkFilter(filter)
    for (const request of [0x40086602n, 0x401c5820n, 0xdead_0000_401c_5820n, 0xffff_ffff_4008_6602n])
      expect(decide('ioctl', request)).toBe(EPERM)
    expect(decide('file_setattr')).toBe(EPERM)
  })

  test('lets everything else through', () => {
    // What only reads attributes, sizes of terminals, clones of files.
    for (const request of [0x80086601n, 0x801c581fn, 0x5413n, 0x40049409n]) expect(decide('ioctl', request)).toBe(ALLOW)
    for (const name of ['read', 'openat', 'renameat2', 'seccomp']) expect(decide(name)).toBe(ALLOW)
  })

  test('ends programs of another architecture, which have other numbers', () => {
    expect(decide('read', 0n, arch === 'x64' ? 'i386' : 'arm')).toBe(KILL_PROCESS)
  })
})
