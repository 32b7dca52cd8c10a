import { caisson } from '../../support/command.js'

describe('caisson doctor', () => {
  test('prints a table, or JSON', () => {
    const json = caisson(['doctor', '--json'])
    const report = JSON.parse(json.stdout)
    expect(json.status).toBe(report.ok ? 0 : 1)
    const { status, stdout } = caisson(['doctor'])
    expect(status).toBe(json.status)
    for (const { what, state } of report.findings) expect(stdout).toContain(`${state.padEnd(8)} ${what}`)
    expect(stdout.split('\n').at(-2)).toContain(`strongest isolation: ${report.tier}`)
  })

  test('takes no words', () => {
    expect(caisson(['doctor', 'please'])).toMatchObject({ status: 1, stdout: '' })
  })
})
