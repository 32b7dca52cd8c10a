/**
 * Every system call of the init program, and every call of the addon to the C library, fails in turn while a program is
 * run, one is executed in a container, one is given to a pool, and a container is made, used and removed. Each time: it
 * goes on as if nothing had been, or it is an error that names the step and the call; the process can go on; and nothing
 * is left.
 *
 * CAISSON_FAULTS=all: with five errors for each call instead of one, and no call left out.
 */
import { execFileSync, spawn } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { syscallNumbers } from '../../lib/seccomp/syscalls.js'
import { isRoot, testIf } from '../support/needs.js'

const ALL = process.env.CAISSON_FAULTS === 'all'
const CONTROL_SIZE = 32 + 24 * 4096

interface Attempt {
  at: number
  errno: number
  /** It came so far that this call was made. */
  failed: boolean
  call: string
  outcome: 'same' | 'different' | 'error' | 'foreign' | 'hung'
  text?: string
  error?: string
  code?: string
  stage?: string
  hint?: string
  syscall?: string
  left?: string[]
}

interface Matrix {
  calls: string[]
  text: string
  attempts: Attempt[]
  /** All were made: the process was usable to the end. */
  ended: boolean
}

/** These cannot fail (umask(2), wait4(2) with WNOHANG, rt_sigtimedwait(2) without a timeout), so nobody looks. */
const CERTAIN = new Set(['umask', 'wait4', 'rt_sigtimedwait', 'rt_sigprocmask'])

let directory: string
beforeAll(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'caisson-faults-'))
  // An ordinary user's is below, and what it shares with the test.
  chmodSync(directory, 0o755)
  mkdirSync(path.join(directory, 'user'))
  chmodSync(path.join(directory, 'user'), 0o1777)
  const compile = (...args: string[]) => execFileSync('gcc', ['-O2', '-Wall', '-Wextra', '-Werror', ...args])
  const source = (name: string) => path.join(__dirname, 'programs', name)
  compile('-o', path.join(directory, 'inject'), source('inject.c'))
  compile('-shared', '-fPIC', '-o', path.join(directory, 'shim.so'), source('shim.c'), '-ldl')
})
afterAll(() => rmSync(directory, { recursive: true, force: true }))

/** Runs matrix.mjs; `where` says whose calls fail; `who`: an ordinary user's, with a part of the cgroups. */
async function matrix(
  where: 'init' | 'addon',
  who: 'root' | 'user',
  operation: string,
  every: number,
  round: number,
): Promise<Matrix> {
  const control = path.join(directory, 'control')
  writeFileSync(control, Buffer.alloc(CONTROL_SIZE))
  chmodSync(control, 0o666)
  const tracer = where === 'init' ? [path.join(directory, 'inject'), control] : []
  const shim = [`LD_PRELOAD=${path.join(directory, 'shim.so')}`, `CAISSON_FAULTS=${control}`]
  const preload = where === 'addon' ? ['env', ...shim] : []
  const given = [control, operation, String(every), String(round)]
  const command = [...preload, process.execPath, '--expose-gc', 'test/faults/matrix.mjs', ...given]
  const asUser = [process.execPath, path.join(__dirname, 'as-user.mjs'), JSON.stringify(tracer)]
  const [file, ...args] = [...(who === 'user' ? asUser : tracer), ...command]
  const child = spawn(file as string, args, {
    cwd: path.resolve(__dirname, '../..'),
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, CAISSON_ROOT: path.join(directory, who, 'root') },
  })
  const result: Matrix = { calls: [], text: '', attempts: [], ended: false }
  for await (const line of createInterface(child.stdout)) {
    const { calls, ...rest } = JSON.parse(line)
    if (calls) Object.assign(result, { calls: calls.map(nameOf), text: rest.text })
    else if (rest.ended) result.ended = true
    else if (rest.began) continue
    else result.attempts.push({ ...rest, call: nameOf(rest.call ?? '') })
  }
  return result
}

const NAMES = new Map([...syscallNumbers(process.arch as 'x64')].map(([name, number]) => [number, name]))

function nameOf(call: string): string {
  return /^\d+$/.test(call) ? (NAMES.get(Number(call)) ?? call) : call
}

/** What is wrong with an attempt; undefined: nothing. */
function complaint({ text }: Matrix, attempt: Attempt): string | undefined {
  const { at, call, errno, outcome, left } = attempt
  const where = `call ${at}, ${call}, errno ${errno}`
  if (left) return `${where}: ${outcome}, and left ${left.join('; ')}`
  if (outcome === 'same' || CERTAIN.has(call)) return undefined
  // As a shell says it.
  if (outcome === 'different' && call === 'execve' && attempt.text?.includes('caisson: sh: ')) return undefined
  if (outcome === 'different') return `${where}: other than usual: ${difference(text, attempt.text ?? '')}`
  if (outcome !== 'error') return `${where}: ${outcome} ${attempt.error ?? ''}`
  const { code, stage, syscall, hint } = attempt
  if (code?.startsWith('ERR_CAISSON_') && stage && syscall && hint) return undefined
  return `${where}: does not say enough: ${JSON.stringify({ code, stage, syscall, hint })}`
}

function difference(usual: string, now: string): string {
  const [before, after] = [usual.split('\n'), now.split('\n')]
  return JSON.stringify({
    gone: before.filter((line) => !after.includes(line)).slice(0, 5),
    new: after.filter((line) => !before.includes(line)).slice(0, 5),
  })
}

const OPERATIONS = [
  ['run', 1],
  ['room', 1],
  ['exec', 1],
  ['ahead', 1],
  ['pool', 3],
  ['life', 5],
  ['egress', 1],
] as const

/** Of an ordinary user: much is the same for both. */
const AS_USER = [
  ['run', 2],
  ['exec', 2],
] as const
const CASES = [
  ...OPERATIONS.map(([operation, every]) => ({ who: 'root' as const, operation, every })),
  ...AS_USER.map(([operation, every]) => ({ who: 'user' as const, operation, every })),
]

/** Others make what is ahead meanwhile. */
const AHEAD: ReadonlySet<string> = new Set(['room', 'ahead'])

describe.each(['init', 'addon'] as const)('a call of the %s fails', (where) => {
  // Those would fail instead.
  for (const { who, operation, every } of CASES.filter(({ operation }) => where === 'init' || !AHEAD.has(operation)))
    testIf(!isRoot && 'only root can follow what root does')(
      `while a container does: ${operation}${who === 'user' ? ', of an ordinary user' : ''}`,
      async () => {
        for (let round = 0; round < (ALL ? 5 : 1); round++) {
          const result = await matrix(where, who, operation, ALL ? 1 : every, round)
          expect(result.calls.length).toBeGreaterThan(40)
          if (operation === 'room') expect(result.calls).not.toContain('pivot_root')
          const complaints = result.attempts.map((attempt) => complaint(result, attempt)).filter(Boolean)
          expect(complaints).toEqual([])
          expect(result.ended).toBe(true)
          // The right calls were made to fail: most of what fails is noticed, by its own name.
          const named = result.attempts.filter(({ outcome, syscall, call }) => outcome === 'error' && syscall === call)
          expect(named.length).toBeGreaterThan(where === 'init' ? result.attempts.length / 4 : 5)
        }
      },
      ALL ? 1_200_000 : 240_000,
    )
})
