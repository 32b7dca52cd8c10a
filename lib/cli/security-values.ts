/** --security-opt. */
import type { SecurityOptions } from '../index.js'
import { parseBoolean } from './flags.js'
import { usageError } from './usage.js'
import { readText } from './values.js'

/** Takes systempaths=unconfined out: nothing of /proc and /sys is hidden or read-only then. */
export function systemPaths(options: readonly string[]): { rest: string[]; masked?: string[]; readonly?: string[] } {
  const rest = options.filter((option) => option !== 'systempaths=unconfined')
  return rest.length === options.length ? { rest } : { rest, masked: [], readonly: [] }
}

export function securityOptions(given: readonly string[]): SecurityOptions {
  const { rest, masked, readonly } = systemPaths(given)
  const security: SecurityOptions = {}
  if (masked) security.maskedPaths = masked
  if (readonly) security.readonlyPaths = readonly
  for (const option of rest) {
    // Docker once wrote a colon.
    const match = /^([a-z-]+)(?:[=:](.*))?$/s.exec(option)
    const [, name, value] = match ?? []
    if (name === 'no-new-privileges') security.noNewPrivileges = parseBoolean(value ?? 'true', name)
    else if (name === 'seccomp' && value) security.seccomp = profile(value)
    // There is nothing of that kind that could be taken away.
    else if (option === 'apparmor=unconfined' || option === 'label=disable' || option === 'label:disable') continue
    else
      throw usageError(
        `--security-opt: ${JSON.stringify(option)} is not there`,
        'Give seccomp=unconfined, seccomp=FILE, no-new-privileges=false or systempaths=unconfined.',
      )
  }
  return security
}

function profile(value: string): SecurityOptions['seccomp'] {
  if (value === 'unconfined') return value
  if (value === 'builtin' || value === 'default') return 'default'
  try {
    return JSON.parse(readText(value, '--security-opt seccomp'))
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error
    throw usageError(
      `--security-opt seccomp: ${value}: ${error.message}`,
      'Give a profile in JSON, as docker takes it.',
    )
  }
}
