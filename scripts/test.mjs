// Runs every test that this machine can run, and ends with one line of totals.
import { spawnSync } from 'node:child_process'
import path from 'node:path'

const root = path.resolve(import.meta.dirname, '..')
const totals = { passed: 0, failed: 0, skipped: 0 }

function step(name, command, args) {
  console.log(`\n== ${name}`)
  const { status } = spawnSync(command, args, { cwd: root, stdio: 'inherit' })
  totals[status === 0 ? 'passed' : 'failed']++
}

function jest(project) {
  console.log(`\n== ${project}`)
  const report = path.join(root, '.cache', `jest-${project}.json`)
  spawnSync(
    process.execPath,
    ['node_modules/jest/bin/jest.js', '--selectProjects', project, '--json', '--outputFile', report],
    { cwd: root, stdio: ['ignore', 'ignore', 'inherit'] },
  )
  return report
}

step('lint', 'node_modules/.bin/biome', ['check', '.'])
step('types', 'node_modules/.bin/tsc', ['--noEmit', '-p', '.'])
const { readFileSync } = await import('node:fs')
for (const project of ['unit', 'integration']) {
  try {
    const result = JSON.parse(readFileSync(jest(project), 'utf8'))
    totals.passed += result.numPassedTests
    totals.failed += result.numFailedTests + result.numRuntimeErrorTestSuites
    totals.skipped += result.numPendingTests + result.numTodoTests
  } catch (error) {
    console.error(`${project}: no report: ${error.message}`)
    totals.failed++
  }
}
if (process.env.CAISSON_REQUIRE === 'all') {
  totals.failed += totals.skipped
  totals.skipped = 0
}
console.log(`\n${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped`)
process.exit(totals.failed > 0 ? 1 : 0)
