// The tests that cgroups, or the age of the kernel, matter to, in the virtual machine.
import { existsSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { Writable } from 'node:stream'
import { cacheDirectory, Unavailable } from './cache.mjs'
import { runInGuest } from './guest.mjs'

/** By file, those of cgroup v2 first. Those that need a compiler are left out: there is none. */
export const FILES = [
  'unified',
  'unified-container',
  'limits',
  'cgroup',
  'container',
  'update',
  'pool',
  'isolation',
  'volume-quota',
  'streams',
  'health',
  'bundle',
  'bad-input',
  'run',
]
/** Of the attacks: those that the kernel, or how it groups processes, matters to. */
export const ATTACKS = ['entering', 'host-knobs', 'kernel-doors', 'landlock']

/** What another architecture matters to: numbers and arguments of calls, how programs are entered. */
const ELSEWHERE = {
  files: ['run', 'streams', 'seccomp', 'unified-container'],
  attacks: ['kernel-doors'],
}
/** For one test, and for all. Without KVM they take four to five minutes on two processors that nobody else uses. */
const TEST_MS = 60_000
const ALL_MS = 900_000
/** jest has let a test of its own time out by then: the machine itself hangs. */
const SILENT_MS = 150_000
const CONSOLE_LINES = 40

/**
 * Runs them on this machine's own architecture, or a few on another one. Gives `{ results, problem, accelerator, kernel }`: a result for each test, `{ file, name, status, why }`,
 * and what kept the machine from running them all, if anything did. Throws Unavailable when this machine cannot run it.
 */
export async function testInGuest(architecture = process.arch) {
  const first = await attempt(architecture)
  if (!first.silent) return first
  // Emulation, or the guest kernel, has been seen to hang as a whole. A second time is no accident.
  console.error(`once more, for ${first.problem}`)
  return attempt(architecture)
}

async function attempt(architecture) {
  const results = []
  const running = new Map()
  let complete = false
  const silence = new AbortController()
  const fallSilent = () => silence.abort(new Error(`nothing came from the guest for ${SILENT_MS / 1000} s`))
  let timer = setTimeout(fallSilent, 2 * SILENT_MS)
  const record = (event) => {
    clearTimeout(timer)
    timer = setTimeout(fallSilent, SILENT_MS)
    const key = `${event.file}: ${event.begins ?? event.name}`
    if (event.begins !== undefined) running.set(key, Date.now())
    if (event.name !== undefined) {
      running.delete(key)
      results.push(event)
    }
    if (event.error) results.push({ file: event.file, name: '(the file itself)', status: 'failed', why: [event.error] })
    complete ||= event.complete === true
  }
  const { files, attacks } = architecture === process.arch ? { files: FILES, attacks: ATTACKS } : ELSEWHERE
  const pattern = `(integration/[a-z]+/(${files.join('|')})|security/(${attacks.join('|')}))\\.test`
  const jest = [
    'node_modules/jest/bin/jest.js',
    '--selectProjects',
    'integration',
    'security',
    '--cacheDirectory',
    '.cache/jest',
  ]
  jest.push('--reporters', './test/vm/reporter.mjs', '--runInBand', '--testTimeout', String(TEST_MS), pattern)
  const errors = []
  const stderr = lines((line) => errors.push(line))
  let problem
  let machine = {}
  try {
    const streams = { stdout: lines(parse(record)), stderr }
    const ended = await runInGuest(['node', ...jest], {
      architecture,
      timeoutMs: ALL_MS,
      signal: silence.signal,
      ...streams,
    })
    machine = { accelerator: ended.accelerator, kernel: ended.kernel }
    if (!complete) problem = `jest ended early, with ${ended.exitCode}:\n${errors.join('\n')}`
  } catch (error) {
    if (error instanceof Unavailable) throw error
    problem = error.message
  } finally {
    clearTimeout(timer)
  }
  if (problem !== undefined) problem = [problem, ...lastWords(running)].join('\n')
  return { results, problem, silent: silence.signal.aborted, ...machine }
}

/** What was running, and what the guest said at its end. */
function lastWords(running) {
  const at = path.join(cacheDirectory, 'console.log')
  const said = existsSync(at) ? readFileSync(at, 'utf8').trimEnd().split('\n').slice(-CONSOLE_LINES) : []
  const now = Date.now()
  return [...[...running].map(([name, since]) => `for ${Math.round((now - since) / 1000)} s: ${name}`), ...said]
}

function parse(record) {
  return (line) => {
    // A test may print too.
    if (line.startsWith('{"file":') || line === '{"complete":true}') record(JSON.parse(line))
  }
}

function lines(take) {
  let rest = ''
  return new Writable({
    decodeStrings: false,
    write(chunk, _encoding, done) {
      const parts = (rest + chunk.toString('utf8')).split('\n')
      rest = parts.pop()
      for (const part of parts) take(part.trimEnd())
      done()
    },
  })
}
