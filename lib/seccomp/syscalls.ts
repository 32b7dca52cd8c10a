/** Numbers of system calls by name. */
import type { Architecture } from './profile.js'
import { TABLE as arm64 } from './table-arm64.js'
import { TABLE as x64 } from './table-x64.js'

const TABLES: Record<Architecture, string> = { x64, arm64 }
const parsed = new Map<Architecture, ReadonlyMap<string, number>>()

/** In a table a number says where counting goes on, and each name takes the next one. */
export function syscallNumbers(arch: Architecture): ReadonlyMap<string, number> {
  let numbers = parsed.get(arch) as Map<string, number> | undefined
  if (numbers) return numbers
  numbers = new Map()
  let next = 0
  for (const word of TABLES[arch].trim().split(/\s+/)) {
    if (word.charCodeAt(0) <= 57 /* a digit */) next = Number(word)
    else numbers.set(word, next++)
  }
  parsed.set(arch, numbers)
  return numbers
}
