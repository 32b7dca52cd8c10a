/** `caisson doctor`: the report as a table, with what is to be done. */
import { doctor, type Finding, type FindingState, type Report } from '../index.js'
import type { Command } from './command.js'
import { usageError } from './usage.js'

export const doctorCommand: Command = {
  summary: 'Try what this machine can do for containers',
  usage: 'doctor [FLAGS]',
  description: 'Tries what containers need, changes nothing, and says how to mend what is missing.',
  flags: [{ name: 'json', kind: 'boolean', help: 'Print the report as JSON' }],
  exits: 'Exits with 0 when nothing that is needed is missing, else with 1.',

  async run(flags, rest) {
    if (rest.length > 0) throw usageError(`doctor: ${rest[0]} is too much`, 'Write caisson doctor [--json].')
    const report = await doctor()
    const color = process.stdout.isTTY && !process.env.NO_COLOR
    process.stdout.write(flags.boolean('json') ? `${JSON.stringify(report, null, 2)}\n` : table(report, color))
    return report.ok ? 0 : 1
  },
}

const COLORS: Record<FindingState, number> = { ok: 32, warning: 33, missing: 31, unknown: 36 }

export function table(report: Report, color: boolean): string {
  const paint = (state: FindingState) =>
    color ? `\u001b[${COLORS[state]}m${state.padEnd(8)}\u001b[0m` : state.padEnd(8)
  const width = Math.max(...report.findings.map(({ what }) => what.length))
  const lines = report.findings.map((finding) => row(finding, paint(finding.state), width))
  const count = (state: FindingState) => report.findings.filter((finding) => finding.state === state).length
  const sum = `${count('ok')} ok, ${count('warning')} warnings, ${count('missing')} missing, ${count('unknown')} unknown`
  return `${lines.join('')}\nLinux ${report.kernel}, ${report.arch}; strongest isolation: ${report.tier}; ${sum}\n`
}

function row({ state, what, detail, why, fix }: Finding, label: string, width: number): string {
  const first = `${label} ${what.padEnd(width)}  ${detail}`.trimEnd()
  if (state === 'ok') return `${first}\n`
  const indent = ' '.repeat(9)
  return `${first}\n${indent}why: ${why}\n${fix ? `${indent}fix: ${fix}\n` : ''}`
}
