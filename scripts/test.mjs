// Runs every test that this machine can run, or the steps that are named, and ends with one line of totals.
//   node scripts/test.mjs [lint|types|unit|integration|security|vm]...
import { spawnSync } from 'node:child_process'
import { readFileSync, rmSync } from 'node:fs'
import path from 'node:path'
import { Unavailable } from '../test/vm/cache.mjs'
import { testInGuest } from '../test/vm/tests.mjs'

const root = path.resolve(import.meta.dirname, '..')
const totals = { passed: 0, failed: 0, skipped: 0 }
/** Tests by name that were skipped, and those that have run: what one place cannot run, another may. */
const skipped = new Set()
const ran = new Set()

/** None takes half as long; whatever hangs must not keep the others from being counted. */
const TIMEOUT = { timeout: 900_000, killSignal: 'SIGKILL' }

function command(file, args) {
  const { status } = spawnSync(file, args, { cwd: root, stdio: 'inherit', ...TIMEOUT })
  totals[status === 0 ? 'passed' : 'failed']++
}

function jest(project) {
  const report = path.join(root, '.cache', `jest-${project}.json`)
  rmSync(report, { force: true })
  // The cache goes along into the virtual machine, where to transform the sources again would take a minute.
  const args = ['node_modules/jest/bin/jest.js', '--selectProjects', project, '--cacheDirectory', '.cache/jest']
  const stdio = ['ignore', 'ignore', 'inherit']
  spawnSync(process.execPath, [...args, '--json', '--outputFile', report], { cwd: root, stdio, ...TIMEOUT })
  try {
    const result = JSON.parse(readFileSync(report, 'utf8'))
    totals.passed += result.numPassedTests
    totals.failed += result.numFailedTests + result.numRuntimeErrorTestSuites
    for (const { name, assertionResults } of result.testResults)
      for (const { fullName, status } of assertionResults) note(path.relative(root, name), fullName, status)
  } catch (error) {
    console.error(`no report: ${error.message}`)
    totals.failed++
  }
}

function note(file, name, status) {
  const known = status === 'pending' || status === 'todo' || status === 'skipped' ? skipped : ran
  known.add(`${file}: ${name}`)
}

async function virtualMachine() {
  try {
    const { results, problem, accelerator, kernel } = await testInGuest()
    if (kernel) console.log(`Linux ${kernel}, ${accelerator}`)
    for (const { file, name, status, why } of results) {
      if (status === 'passed') totals.passed++
      if (status === 'failed') totals.failed++
      if (status === 'failed') console.error(`FAIL ${file}: ${name}\n${why.join('\n')}`)
      note(file, name, status)
    }
    if (problem !== undefined) {
      console.error(`failed: ${problem}`)
      totals.failed++
    }
  } catch (error) {
    console.error(`${error instanceof Unavailable ? 'skipped' : 'failed'}: ${error.message}`)
    totals[error instanceof Unavailable ? 'skipped' : 'failed']++
  }
}

const STEPS = {
  lint: () => command('node_modules/.bin/biome', ['check', '.']),
  types: () => command('node_modules/.bin/tsc', ['--noEmit', '-p', '.']),
  unit: () => jest('unit'),
  integration: () => jest('integration'),
  security: () => jest('security'),
  vm: virtualMachine,
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
  await STEPS[name]()
  console.log(`(${((Date.now() - began) / 1000).toFixed(0)} s)`)
}
const missing = [...skipped].filter((name) => !ran.has(name))
for (const name of missing) console.log(`skipped everywhere: ${name}`)
totals.skipped += missing.length
if (process.env.CAISSON_REQUIRE === 'all') {
  totals.failed += totals.skipped
  totals.skipped = 0
}
console.log(`\n${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped`)
process.exit(totals.failed > 0 ? 1 : 0)
