import { existsSync, readFileSync } from 'node:fs'
import type { Architecture } from '../../../lib/seccomp/profile.js'
import { syscallNumbers } from '../../../lib/seccomp/syscalls.js'

const X64_HEADER = '/usr/include/x86_64-linux-gnu/asm/unistd_64.h'
/** aarch64 has these numbers as they are. */
const GENERIC_HEADER = '/usr/include/asm-generic/unistd.h'

function defines(file: string): Map<string, string> {
  const matches = readFileSync(file, 'utf8').matchAll(/^#define __NR(_|3264_)(\w+)\s+(\w+)/gm)
  return new Map([...matches].map(([, prefix, name, value]) => [`__NR${prefix}${name}`, value as string]))
}

/** Names of the header with their numbers; `__NR_fcntl __NR3264_fcntl` is followed. */
function numbersOf(file: string): Array<[string, number]> {
  const all = defines(file)
  return [...all].flatMap(([name, value]): Array<[string, number]> => {
    const number = Number(all.get(value) ?? value)
    return name.startsWith('__NR_') && Number.isInteger(number) ? [[name.slice('__NR_'.length), number]] : []
  })
}

describe('system call tables', () => {
  // Only machines of that architecture have it; the generic one comes with every C compiler.
  const onX64 = existsSync(X64_HEADER) ? test : () => undefined
  onX64('x64 agrees with the header of this machine', () => {
    const ours = syscallNumbers('x64')
    const theirs = numbersOf(X64_HEADER)
    expect(theirs.length).toBeGreaterThan(350)
    for (const [name, number] of theirs)
      if (ours.has(name) || number <= 471) expect([name, ours.get(name)]).toEqual([name, number])
  })

  test('arm64 agrees with the generic header of this machine', () => {
    const ours = syscallNumbers('arm64')
    // Those of 32-bit machines, and two that are no calls.
    const notCalls =
      /_time64$|^(clock|timer|timerfd)_\w+64$|^((f?statfs|f?truncate|fcntl|sendfile|fstat|fstatat)64|fadvise64_64|llseek|mmap2|sync_file_range2|syscalls|arch_specific_syscall)$/
    const theirs = numbersOf(GENERIC_HEADER).filter(([name]) => !notCalls.test(name))
    expect(theirs.length).toBeGreaterThan(280)
    for (const [name, number] of theirs)
      if (ours.has(name) || number <= 471) expect([name, ours.get(name)]).toEqual([name, number])
  })

  test.each<[Architecture, number, Record<string, number>]>([
    ['x64', 385, { read: 0, rt_sigreturn: 15, openat: 257, preadv2: 327, uretprobe: 335, pidfd_send_signal: 424 }],
    ['arm64', 327, { io_setup: 0, getcwd: 17, openat: 56, recvmmsg: 243, wait4: 260, kexec_file_load: 294 }],
  ])('%s has each name and each number once', (arch, size, known) => {
    const numbers = syscallNumbers(arch)
    expect(numbers.size).toBe(size)
    expect(new Set(numbers.values()).size).toBe(size)
    expect(Object.fromEntries(Object.keys(known).map((name) => [name, numbers.get(name)]))).toEqual(known)
  })

  test('calls since Linux 5.1 have the same number on both', () => {
    const since = (arch: Architecture) => [...syscallNumbers(arch)].filter(([, number]) => number >= 424)
    expect(since('x64')).toEqual(since('arm64'))
    expect(since('x64').at(-1)).toEqual(['rseq_slice_yield', 471])
    expect(since('x64')).toHaveLength(471 - 424 + 1)
  })
})
