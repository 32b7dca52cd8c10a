/** A second compiler of profiles, written by others: libseccomp, which runc and crun use. */
import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import type { Architecture } from '../../lib/seccomp/profile.js'
import { compileProgram } from './program.js'
import { actionValue, type JsonProfile } from './seccomp-oracle.js'
import { scratch } from './tree.js'

/** For testIf: what is missing here. */
export const noLibseccomp = !existsSync('/usr/include/seccomp.h') && 'no libseccomp-dev'

/** enum scmp_compare (seccomp.h). */
const OPERATORS = ['', 'NE', 'LT', 'LE', 'EQ', 'GE', 'GT', 'MASKED_EQ']
const NAMES: Record<Architecture, string> = { x64: 'x86_64', arm64: 'aarch64' }

let program: string | undefined

export interface Compiled {
  filter: Uint8Array
  /** Calls that this libseccomp has not heard of. */
  unknown: ReadonlySet<string>
}

/** Rules without requirements, as OCI's format has them. Two tests of one argument in a rule are not taken. */
export function compileByLibseccomp(profile: JsonProfile, arch: Architecture): Compiled {
  if (program === undefined) {
    program = path.join(scratch(), 'libseccomp')
    writeFileSync(program, compileProgram('libseccomp', 'seccomp'))
    chmodSync(program, 0o755)
  }
  const lines = [`arch ${NAMES[arch]}`, `default ${actionValue(profile.defaultAction, profile.defaultErrnoRet)}`]
  for (const { names = [], action, errnoRet, args } of profile.syscalls) {
    const tests = (args ?? []).flatMap(({ index, op, value, valueTwo = 0 }) => {
      const operator = OPERATORS.indexOf(op.replace('SCMP_CMP_', ''))
      return [index, operator, value, valueTwo]
    })
    for (const name of names) lines.push(['rule', name, actionValue(action, errnoRet), ...tests].join(' '))
  }
  const said = execFileSync(program, { input: `${lines.join('\n')}\n`, encoding: 'utf8' })
    .trim()
    .split('\n')
  return { filter: Buffer.from(said.at(-1) as string, 'hex'), unknown: new Set(said.slice(0, -1)) }
}
