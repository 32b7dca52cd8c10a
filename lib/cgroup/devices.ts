import type { SpecDeviceRule } from '../spec/runtime.js'
import type { Controller, FileWrite } from './controller.js'

/** Device access on hosts that have no cgroup v2; where they have one, the addon attaches a program to it. */
export const devices: Controller = {
  name: 'devices',
  legacy: 'devices',
  needed: (s) => s.devices !== undefined,
  unified: () => [],
  legacyWrites: (s) => [{ file: 'devices.deny', text: 'a' }, ...(s.devices ?? []).flatMap(legacyWrite)],
}

function legacyWrite({ allow, type = 'a', major, minor, access = 'rwm' }: SpecDeviceRule): FileWrite[] {
  const number = (value: number | undefined) => (value === undefined || value < 0 ? '*' : String(value))
  // v1 takes "all" only without numbers.
  const what = type === 'a' ? 'a' : `${type} ${number(major)}:${number(minor)} ${access}`
  return [{ file: allow ? 'devices.allow' : 'devices.deny', text: what }]
}

/** Whether rules restrict anything at all. */
export function restricts(rules: readonly SpecDeviceRule[]): boolean {
  const last = rules.at(-1)
  return !(last?.allow && (last.type ?? 'a') === 'a' && (last.access ?? 'rwm') === 'rwm')
}
