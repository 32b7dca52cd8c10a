// Runs every test that this machine can run, or the steps that are named, and ends with one line of totals.
//   node scripts/test.mjs [lint|types|unit|native|integration|security|network|faults|endurance|user|vm|arm64]...
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Unavailable } from '../test/vm/cache.mjs'
import { testInGuest } from '../test/vm/tests.mjs'
import { spawnAsUser } from './as-user.mjs'
import { leftSince, ownCgroups } from './left-cgroups.mjs'
import { nativeChecks } from './native.mjs'

const root = path.resolve(import.meta.dirname, '..')
const totals = { passed: 0, failed: 0, skipped: 0 }
/** Tests by name that were skipped, with the reason, and those that have run: what one place cannot run, another may. */
const skipped = new Map()
const ran = new Set()
/** Said once more at the end, where nobody has to look for them. */
const failures = []

function failed(what) {
  totals.failed++
  failures.push(what)
}

/** None takes half as long; whatever hangs must not keep the others from being counted. */
const TIMEOUT = { timeout: 1_500_000, killSignal: 'SIGKILL' }

function command(file, args) {
  const { status } = spawnSync(file, args, { cwd: root, stdio: 'inherit', ...TIMEOUT })
  if (status === 0) totals.passed++
  else failed([file, ...args].join(' '))
}

/** How often owners are killed at a random instant, as root and once more as an ordinary user. */
const KILL_ROUNDS = '300'

/** Runs what follows in a network namespace of its own, which it is told (test/support/lan.ts). */
const LAN = [
  'unshare',
  '--net',
  '--mount',
  'sh',
  '-c',
  'CAISSON_TEST_LAN=$(readlink /proc/self/ns/net) exec "$@"',
  'sh',
]

const JEST = 'node_modules/jest/bin/jest.js'
const QUIET = { stdio: ['ignore', 'ignore', 'inherit'], ...TIMEOUT }

/** How many files at a time, where it is not what jest takes for right. */
const WORKERS = {
  // Pure code; jest would leave one processor out.
  unit: ['--maxWorkers=100%'],
  // Builds wait for mirrors and disks most of their time, and other tests for programs.
  integration: ['--maxWorkers=2'],
  // A flood of pipes or signals takes from the bounds of the user that whoever runs beside it has, too.
  security: ['--maxWorkers=1'],
  // The machine's own network is one, and what a process holds is measured alone.
  network: ['--runInBand'],
  endurance: ['--runInBand'],
}

function jest(project, around = []) {
  const report = path.join(root, '.cache', `jest-${project}.json`)
  rmSync(report, { force: true })
  // The cache goes along into the virtual machine, where to transform the sources again would take a minute.
  const args = [JEST, '--selectProjects', project, '--cacheDirectory', '.cache/jest']
  // What a test that failed has left behind must not keep the others from being counted.
  args.push('--forceExit')
  args.push(...(WORKERS[project] ?? []))
  const env = { CAISSON_KILL_ROUNDS: KILL_ROUNDS, ...process.env }
  const [file, ...rest] = [...around, process.execPath, ...args, '--json', '--outputFile', report]
  spawnSync(file, rest, { cwd: root, env, ...QUIET })
  count(report)
}

/** Files that say the same for everybody, and those that an owner without cgroups matters to. */
const FOR_ROOT = '/(package|examples|native|program/long|build/servers)\\.test'
const BARE = 'integration/[a-z]+/(ordinary|run|health|streams|isolation|bad-input|archive-diff)\\.test'

/** Once with a part of the cgroup hierarchies of its own, once without, and networks on a machine of its own; as root only, who can be somebody else. */
function asUser() {
  if (process.getuid() !== 0) return console.error('not root: the other steps were those of an ordinary user')
  const places = mkdtempSync(path.join(tmpdir(), 'caisson-user-'))
  chmodSync(places, 0o777)
  const env = { CAISSON_KILL_ROUNDS: process.env.CAISSON_KILL_ROUNDS ?? KILL_ROUNDS }
  const pass = (name, project, choice, around = {}) => {
    const report = path.join(places, `${name}.json`)
    const cache = path.join(places, 'jest')
    // Without cgroups all processes of a user have one bound: a fork bomb takes from whoever runs beside it.
    const workers = around.bare ? ['--runInBand'] : (WORKERS[project] ?? [])
    const args = ['--selectProjects', project, ...workers, '--cacheDirectory', cache, '--forceExit']
    const whole = [process.execPath, JEST, ...args, '--json', '--outputFile', report, ...choice]
    spawnAsUser(whole, { ...around, env, ...QUIET })
    count(report)
  }
  pass('integration', 'integration', ['--testPathIgnorePatterns', FOR_ROOT])
  pass('security', 'security', [])
  pass('bare', 'integration', ['--testPathPatterns', BARE], { bare: true })
  pass('network', 'network', ['--testPathPatterns', 'network/(ordinary[a-z-]*|user-mode)\\.test'], { machine: true })
  rmSync(places, { recursive: true, force: true })
}

function count(report) {
  try {
    const result = JSON.parse(readFileSync(report, 'utf8'))
    totals.passed += result.numPassedTests
    for (const { name, status, assertionResults, message } of result.testResults) {
      const file = path.relative(root, name)
      for (const test of assertionResults) {
        note(file, test.fullName, test.status)
        if (test.status === 'failed') failed(`${file}: ${test.fullName}\n${test.failureMessages.join('\n')}`)
      }
      if (status === 'failed' && assertionResults.length === 0) failed(`${file}: ${message}`)
    }
  } catch (error) {
    failed(`no report: ${error.message}`)
  }
}

function note(file, name, status) {
  const [, plain, why] = /^(.*?)(?: \(not here: (.*)\))?$/s.exec(name)
  const test = `${file}: ${plain}`
  if (status === 'pending' || status === 'todo' || status === 'skipped') skipped.set(test, why)
  else ran.add(test)
}

async function native() {
  for (const { name, status, seconds, why } of await nativeChecks()) {
    if (status === 'failed') failed(`${name} (${seconds.toFixed(0)} s): ${why}`)
    else totals[status]++
    if (status === 'skipped') console.error(`skipped: ${name}: ${why}`)
  }
}

async function virtualMachine(architecture) {
  try {
    const { results, problem, accelerator, kernel } = await testInGuest(architecture)
    if (kernel) console.log(`Linux ${kernel}, ${architecture}, ${accelerator}`)
    for (const { file, name, status, why } of results) {
      if (status === 'passed') totals.passed++
      if (status === 'failed') failed(`${file}: ${name}\n${why.join('\n')}`)
      note(file, name, status)
    }
    if (problem !== undefined) failed(problem)
  } catch (error) {
    if (!(error instanceof Unavailable)) return failed(`the virtual machine: ${error.message}`)
    console.error(`skipped: ${error.message}`)
    totals.skipped++
  }
}

const STEPS = {
  lint: () => command('node_modules/.bin/biome', ['check', '.']),
  types: () => command('node_modules/.bin/tsc', ['--noEmit', '-p', '.']),
  unit: () => jest('unit'),
  native,
  integration: () => jest('integration'),
  security: () => jest('security'),
  // Each file sets devices and addresses up as if the machine were its own; one after the other, as it is only one.
  network: () => jest('network', process.getuid() === 0 ? LAN : []),
  faults: () => jest('faults'),
  endurance: () => jest('endurance'),
  user: asUser,
  vm: () => virtualMachine(process.arch),
  arm64: () => (process.arch === 'arm64' ? console.log('is this machine: see vm') : virtualMachine('arm64')),
}
const chosen = process.argv.slice(2)
const unknown = chosen.find((name) => !(name in STEPS))
if (unknown !== undefined) {
  console.error(`usage: node scripts/test.mjs [${Object.keys(STEPS).join('|')}]...   ("${unknown}" is none of these)`)
  process.exit(64)
}
for (const name of chosen.length > 0 ? chosen : Object.keys(STEPS)) {
  console.log(`\n== ${name}`)
  const began = Date.now()
  const before = ownCgroups()
  await STEPS[name]()
  for (const directory of await leftSince(before)) failed(`${name} has left ${directory}`)
  console.log(`(${((Date.now() - began) / 1000).toFixed(0)} s)`)
}
const missing = [...skipped].filter(([name]) => !ran.has(name))
for (const [name, why] of missing) console.log(`skipped everywhere: ${name}${why ? ` (${why})` : ''}`)
totals.skipped += missing.length
if (process.env.CAISSON_REQUIRE === 'all') {
  totals.failed += totals.skipped
  totals.skipped = 0
}
for (const failure of failures) console.log(`\nFAILED ${failure}`)
console.log(`\n${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped`)
process.exit(totals.failed > 0 ? 1 : 0)
