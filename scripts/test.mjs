// Runs every test that this machine can run, and ends with one line of totals.
import { spawnSync } from 'node:child_process'
import { readFileSync, rmSync } from 'node:fs'
import path from 'node:path'
import { Writable } from 'node:stream'
import { Unavailable } from '../test/vm/cache.mjs'
import { runInGuest } from '../test/vm/guest.mjs'

const root = path.resolve(import.meta.dirname, '..')
const totals = { passed: 0, failed: 0, skipped: 0 }
/** Tests by name that were skipped, and those that have run: what one place cannot run, another may. */
const skipped = new Set()
const ran = new Set()

function step(name, command, args) {
  console.log(`\n== ${name}`)
  const { status } = spawnSync(command, args, { cwd: root, stdio: 'inherit' })
  totals[status === 0 ? 'passed' : 'failed']++
}

/** Its cache goes along into the virtual machine, where to transform the sources again would take a minute. */
function jestCommand(project, report, ...more) {
  const command = ['node_modules/jest/bin/jest.js', '--selectProjects', project, '--cacheDirectory', '.cache/jest']
  return [...command, '--json', '--outputFile', report, ...more]
}

function jest(project) {
  console.log(`\n== ${project}`)
  const report = path.join(root, '.cache', `jest-${project}.json`)
  spawnSync(process.execPath, jestCommand(project, report), { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] })
  return report
}

function count(report) {
  const result = JSON.parse(readFileSync(report, 'utf8'))
  totals.passed += result.numPassedTests
  totals.failed += result.numFailedTests + result.numRuntimeErrorTestSuites
  for (const { name, assertionResults } of result.testResults)
    for (const { fullName, status } of assertionResults)
      (status === 'pending' || status === 'todo' ? skipped : ran).add(`${path.relative(root, name)}: ${fullName}`)
}

async function virtualMachine() {
  console.log('\n== cgroup v2 virtual machine')
  const output = path.join(root, '.cache/vm/out')
  const report = path.join(output, 'jest.json')
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() })
  try {
    rmSync(report, { force: true })
    const inside = jestCommand('integration', '/run/vm/out/jest.json', '--runInBand', '--testTimeout', '120000')
    const { accelerator, kernel } = await runInGuest(['node', ...inside], { output, stdout: nowhere })
    console.log(`Linux ${kernel}, ${accelerator}`)
    count(report)
  } catch (error) {
    console.error(`${error instanceof Unavailable ? 'skipped' : 'failed'}: ${error.message}`)
    totals[error instanceof Unavailable ? 'skipped' : 'failed']++
  }
}

step('lint', 'node_modules/.bin/biome', ['check', '.'])
step('types', 'node_modules/.bin/tsc', ['--noEmit', '-p', '.'])
for (const project of ['unit', 'integration']) {
  try {
    count(jest(project))
  } catch (error) {
    console.error(`${project}: no report: ${error.message}`)
    totals.failed++
  }
}
await virtualMachine()
const missing = [...skipped].filter((name) => !ran.has(name))
for (const name of missing) console.log(`skipped everywhere: ${name}`)
totals.skipped += missing.length
if (process.env.CAISSON_REQUIRE === 'all') {
  totals.failed += totals.skipped
  totals.skipped = 0
}
console.log(`\n${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped`)
process.exit(totals.failed > 0 ? 1 : 0)
