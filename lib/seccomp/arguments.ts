/** Tests of arguments. They have 64 bits, BPF has 32: each takes its upper word first. */
import type { Action, Condition, Rule } from './profile.js'
import { ANY_BIT, type Comparison, EQUAL, GREATER, GREATER_OR_EQUAL, type Label, type Program } from './program.js'
import { type Range, search } from './search.js'

const WORD = 0xffffffff
const LIMIT = 1n << 64n

const upper = (value: bigint) => Number((value >> 32n) & 0xffffffffn)
const lower = (value: bigint) => Number(value & 0xffffffffn)
/** Offsets of an argument's words in struct seccomp_data. */
const lowerAt = (index: number) => 16 + 8 * index
const upperAt = (index: number) => lowerAt(index) + 4

/** The first of the rules that holds decides, else `otherwise`. Every rule has conditions. */
export function chooseRule(program: Program, rules: readonly Rule[], otherwise: Action): Label {
  const index = onlyArgument(rules)
  if (index !== undefined) {
    if (rules.every(({ conditions }) => isComparison(conditions[0] as Condition)))
      return chooseRange(program, index, rules, otherwise)
    if (rules.every(({ conditions }) => isBlock(conditions[0] as Condition)))
      return chooseBlock(program, index, rules, otherwise)
  }
  let next = program.return(otherwise)
  for (const { conditions, action } of [...rules].reverse()) {
    const otherRules = next
    next = program.return(action)
    for (const condition of [...conditions].reverse()) next = test(program, condition, next, otherRules)
  }
  return next
}

function test(program: Program, { index, op, value, valueTwo = 0n }: Condition, yes: Label, no: Label): Label {
  switch (op) {
    case 'EQ':
      return masked(program, index, LIMIT - 1n, value, yes, no)
    case 'NE':
      return masked(program, index, LIMIT - 1n, value, no, yes)
    case 'MASKED_EQ':
      return masked(program, index, value, valueTwo & value, yes, no)
    case 'GE':
      return ordered(program, index, GREATER_OR_EQUAL, value, yes, no)
    case 'LT':
      return ordered(program, index, GREATER_OR_EQUAL, value, no, yes)
    case 'GT':
      return ordered(program, index, GREATER, value, yes, no)
    case 'LE':
      return ordered(program, index, GREATER, value, no, yes)
  }
}

function masked(program: Program, index: number, mask: bigint, value: bigint, yes: Label, no: Label): Label {
  const rest = maskedWord(program, lowerAt(index), lower(mask), lower(value), yes, no)
  return maskedWord(program, upperAt(index), upper(mask), upper(value), rest, no)
}

function maskedWord(program: Program, offset: number, mask: number, value: number, yes: Label, no: Label): Label {
  if (mask === 0) return yes
  if (mask === WORD) return program.load(offset, program.branch(EQUAL, value, yes, no))
  if (value === 0) return program.load(offset, program.branch(ANY_BIT, mask, no, yes))
  return program.load(offset, program.and(mask, program.branch(EQUAL, value, yes, no)))
}

/** `comparison` is the one for the lower words, when the upper ones are equal. */
function ordered(program: Program, index: number, comparison: Comparison, value: bigint, yes: Label, no: Label): Label {
  const rest = program.load(lowerAt(index), program.branch(comparison, lower(value), yes, no))
  const word = upper(value)
  const equal = word === 0 ? rest : program.branch(EQUAL, word, rest, no)
  return program.load(upperAt(index), program.branch(GREATER, word, yes, equal))
}

/** The argument that all rules are about, when each is a single test of it. */
function onlyArgument(rules: readonly Rule[]): number | undefined {
  const index = rules[0]?.conditions[0]?.index
  const simple = rules.every(({ conditions }) => conditions.length === 1 && conditions[0]?.index === index)
  return simple ? index : undefined
}

const isComparison = ({ op }: Condition) => op !== 'MASKED_EQ'

/** A test for the first bits of the lower word, which is one for a range of its numbers. */
function isBlock({ op, value }: Condition): boolean {
  const size = BigInt(WORD) + 1n - value
  return op === 'MASKED_EQ' && size > 0n && size <= BigInt(WORD) + 1n && (size & (size - 1n)) === 0n
}

/** Such rules, as ranges of the lower word. */
function chooseBlock(program: Program, index: number, rules: readonly Rule[], otherwise: Action): Label {
  const blocks = rules.map(({ conditions, action }) => {
    const { value, valueTwo = 0n } = conditions[0] as Condition
    const start = Number(valueTwo & value)
    return { start, end: start + (WORD + 1 - Number(value)), action }
  })
  const starts = new Set([0, ...blocks.flatMap(({ start, end }) => [start, end])])
  const ranges = [...starts]
    .filter((start) => start <= WORD)
    .sort((a, b) => a - b)
    .map((at) => {
      const block = blocks.find(({ start, end }) => start <= at && at < end)
      return { start: at, label: program.return(block?.action ?? otherwise) }
    })
  return program.load(lowerAt(index), search(program, ranges))
}

/** Rules about one argument as ranges of its values: one search instead of one test after another. */
function chooseRange(program: Program, index: number, rules: readonly Rule[], otherwise: Action): Label {
  const starts = new Set([0n])
  for (const { conditions } of rules)
    for (const { op, value } of conditions) {
      if (op !== 'GT' && op !== 'LE') starts.add(value)
      if (op !== 'GE' && op !== 'LT' && value + 1n < LIMIT) starts.add(value + 1n)
    }
  const actionFor = (value: bigint) =>
    rules.find(({ conditions }) => holds(conditions[0] as Condition, value))?.action ?? otherwise

  const byUpper = new Map<number, Range[]>()
  let before = otherwise
  for (const start of [...starts].sort((a, b) => (a < b ? -1 : 1))) {
    const word = upper(start)
    let ranges = byUpper.get(word)
    if (!ranges) {
      ranges = lower(start) === 0 ? [] : [{ start: 0, label: program.return(before) }]
      byUpper.set(word, ranges)
    }
    before = actionFor(start)
    ranges.push({ start: lower(start), label: program.return(before) })
  }

  const words: Range[] = []
  for (const [word, ranges] of byUpper) {
    const after = (ranges.at(-1) as Range).label
    const same = ranges.every(({ label }) => label === after)
    words.push({ start: word, label: same ? after : program.load(lowerAt(index), search(program, ranges)) })
    if (word < WORD && !byUpper.has(word + 1)) words.push({ start: word + 1, label: after })
  }
  return program.load(upperAt(index), search(program, words))
}

/** For the operators that compare with a number. */
function holds({ op, value }: Condition, argument: bigint): boolean {
  switch (op) {
    case 'EQ':
      return argument === value
    case 'NE':
      return argument !== value
    case 'LT':
      return argument < value
    case 'LE':
      return argument <= value
    case 'GE':
      return argument >= value
    default:
      return argument > value
  }
}
