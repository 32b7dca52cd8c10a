/** Writes a program of classic BPF for seccomp (linux/filter.h, Documentation/userspace-api/seccomp_filter.rst). */
import { CaissonError } from '../errors.js'
import type { Action } from './profile.js'

/** An instruction, counted from the end of the program. */
export type Label = number

const LOAD_WORD = 0x20 // BPF_LD | BPF_W | BPF_ABS
const AND = 0x54 // BPF_ALU | BPF_AND | BPF_K
const JUMP = 0x05 // BPF_JMP | BPF_JA
const RETURN = 0x06 // BPF_RET | BPF_K

/** BPF_JMP with BPF_K: comparisons of the accumulator with a constant, unsigned and of 32 bits. */
export const EQUAL = 0x15
export const GREATER = 0x25
export const GREATER_OR_EQUAL = 0x35
export const ANY_BIT = 0x45
export type Comparison = typeof EQUAL | typeof GREATER | typeof GREATER_OR_EQUAL | typeof ANY_BIT

/** BPF_MAXINSNS. */
const INSTRUCTIONS_MAX = 4096
/** Conditional jumps have 8 bits; one instruction may still come between. */
const NEAR = 255

/**
 * Instructions are given last first: BPF jumps only forward, so every target is there before the jumps to it. Where
 * one is too far for a conditional jump, it gets a stepping stone: a copy when it is a return, else a long jump.
 */
export class Program {
  /** Code and constant of each, the last instruction first. */
  readonly #words: number[] = []
  readonly #returns = new Map<Action, Label>()

  get length(): number {
    return this.#words.length / 2
  }

  /** The nearest one that ends the program so, made when there is none at hand. */
  return(action: Action): Label {
    let label = this.#returns.get(action)
    if (label === undefined || !this.#near(label)) {
      label = this.#add(RETURN, action)
      this.#returns.set(action, label)
    }
    return label
  }

  /** Takes a word of struct seccomp_data into the accumulator. */
  load(offset: number, next: Label): Label {
    this.#precede(next)
    return this.#add(LOAD_WORD, offset)
  }

  and(mask: number, next: Label): Label {
    this.#precede(next)
    return this.#add(AND, mask)
  }

  branch(comparison: Comparison, value: number, yes: Label, no: Label): Label {
    if (yes === no) return yes
    const nearYes = this.#bringNear(yes)
    const nearNo = this.#bringNear(no)
    const offset = (label: Label) => this.length - label - 1
    return this.#add(comparison + offset(nearYes) * 0x10000 + offset(nearNo) * 0x1000000, value)
  }

  /** An array of struct sock_filter, little-endian as the machines are that we run on. */
  finish(): Uint8Array {
    if (this.length > INSTRUCTIONS_MAX)
      throw new CaissonError(
        'ERR_CAISSON_INVALID_ARGUMENT',
        `security.seccomp: the filter has ${this.length} instructions, more than the ${INSTRUCTIONS_MAX} that Linux takes`,
        { stage: 'options', hint: 'Give the profile fewer rules with arguments.' },
      )
    const bytes = new Uint8Array(this.length * 8)
    const view = new DataView(bytes.buffer)
    for (let i = this.length - 1, at = 0; i >= 0; i--, at += 8) {
      view.setUint32(at, this.#words[i * 2] as number, true)
      view.setUint32(at + 4, this.#words[i * 2 + 1] as number, true)
    }
    return bytes
  }

  #add(code: number, constant: number): Label {
    this.#words.push(code, constant)
    return this.length - 1
  }

  #near(label: Label): boolean {
    return this.length - label <= NEAR
  }

  /** Makes `next` what the coming instruction falls through to. */
  #precede(next: Label): void {
    if (next !== this.length - 1) this.#add(JUMP, this.length - next - 1)
  }

  #bringNear(label: Label): Label {
    if (this.#near(label)) return label
    return this.#words[label * 2] === RETURN
      ? this.return(this.#words[label * 2 + 1] as Action)
      : this.#add(JUMP, this.length - label - 1)
  }
}
