/**
 * Tells, one line of JSON each, which test begins and how it has ended. These lines are out before the next test begins,
 * so that they say what hung when the machine is turned off.
 */
import { writeSync } from 'node:fs'
import path from 'node:path'

export default class LineReporter {
  #root = process.cwd()

  #tell(event) {
    writeSync(1, `${JSON.stringify(event)}\n`)
  }

  onTestCaseStart({ path: file }, { fullName }) {
    this.#tell({ file: path.relative(this.#root, file), begins: fullName })
  }

  onTestCaseResult({ path: file }, { fullName, status, duration, failureMessages }) {
    this.#tell({ file: path.relative(this.#root, file), name: fullName, status, duration, why: failureMessages })
  }

  onTestResult({ path: at }, { testExecError, perfStats, testResults }) {
    const file = path.relative(this.#root, at)
    // Of those that do not run nothing was told.
    for (const { fullName, status } of testResults)
      if (status === 'pending' || status === 'todo') this.#tell({ file, name: fullName, status })
    this.#tell({ file, ended: perfStats.runtime, error: testExecError?.message })
  }

  onRunComplete() {
    this.#tell({ complete: true })
  }
}
