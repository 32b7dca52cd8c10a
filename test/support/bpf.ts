/** Checks and runs classic BPF as the kernel does for seccomp (net/core/filter.c, kernel/seccomp.c). */

/** What a filter sees of a call: struct seccomp_data without the instruction pointer. */
export interface Call {
  /** AUDIT_ARCH_*. */
  arch: number
  number: number
  args?: readonly bigint[]
}

export const AUDIT_ARCH = { x64: 0xc000003e, arm64: 0xc00000b7, i386: 0x40000003, arm: 0x40000028 }

const DATA_SIZE = 64
const INSTRUCTIONS_MAX = 4096

interface Instruction {
  code: number
  yes: number
  no: number
  k: number
}

export function disassemble(filter: Uint8Array): Instruction[] {
  if (filter.length === 0 || filter.length % 8 !== 0) throw new Error(`a filter of ${filter.length} bytes`)
  const view = new DataView(filter.buffer, filter.byteOffset, filter.length)
  return Array.from({ length: filter.length / 8 }, (_, i) => ({
    code: view.getUint16(i * 8, true),
    yes: view.getUint8(i * 8 + 2),
    no: view.getUint8(i * 8 + 3),
    k: view.getUint32(i * 8 + 4, true),
  }))
}

/** Throws for what bpf_check_classic() or seccomp_check_filter() would refuse, of the instructions known here. */
export function checkFilter(filter: Uint8Array): void {
  const program = disassemble(filter)
  if (program.length > INSTRUCTIONS_MAX) throw new Error(`${program.length} instructions`)
  program.forEach(({ code, yes, no, k }, at) => {
    const inside = (offset: number) => {
      if (at + 1 + offset >= program.length) throw new Error(`instruction ${at} jumps out of the program`)
    }
    switch (code) {
      case 0x20: // ld [k]
        if (k % 4 !== 0 || k >= DATA_SIZE) throw new Error(`instruction ${at} loads from ${k}`)
        inside(0)
        return
      case 0x54: // and #k
        inside(0)
        return
      case 0x05: // ja
        inside(k)
        return
      case 0x15: // jeq
      case 0x25: // jgt
      case 0x35: // jge
      case 0x45: // jset
        inside(yes)
        inside(no)
        return
      case 0x06: // ret #k
        return
      default:
        throw new Error(`instruction ${at} has the code ${code}`)
    }
  })
}

/** What a filter returns for a call, and after how many instructions. */
export type Runner = (call: Call) => { action: number; steps: number }

export function runnerOf(filter: Uint8Array): Runner {
  const program = disassemble(filter)
  const data = new DataView(new ArrayBuffer(DATA_SIZE))
  return ({ arch, number, args = [] }) => {
    data.setUint32(0, number, true)
    data.setUint32(4, arch, true)
    for (let i = 0; i < 6; i++) data.setBigUint64(16 + i * 8, args[i] ?? 0n, true)
    let accumulator = 0
    let at = 0
    for (let steps = 1; ; steps++) {
      const { code, yes, no, k } = program[at++] as Instruction
      if (code === 0x20) accumulator = data.getUint32(k, true)
      else if (code === 0x54) accumulator = (accumulator & k) >>> 0
      else if (code === 0x05) at += k
      else if (code === 0x15) at += accumulator === k ? yes : no
      else if (code === 0x25) at += accumulator > k ? yes : no
      else if (code === 0x35) at += accumulator >= k ? yes : no
      else if (code === 0x45) at += (accumulator & k) !== 0 ? yes : no
      else if (code === 0x06) return { action: k, steps }
      else throw new Error(`code ${code}`)
    }
  }
}

export function runFilter(filter: Uint8Array, call: Call): { action: number; steps: number } {
  return runnerOf(filter)(call)
}
