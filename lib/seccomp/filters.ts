/** The filters of the default profile, each made once. */
import { capabilityMask, DEFAULT_CAPABILITIES } from '../spec/capabilities.js'
import { compileFilter } from './compile.js'
import { defaultProfile } from './default.js'
import type { Architecture } from './profile.js'

/**
 * Those for the default capabilities, in base64. The build of the package puts them in (tsup.config.ts) and saves the
 * first container of a process some 2 ms; in the sources there are none.
 */
declare const CAISSON_DEFAULT_FILTERS: Record<Architecture, string> | undefined

const prepared = typeof CAISSON_DEFAULT_FILTERS === 'undefined' ? undefined : CAISSON_DEFAULT_FILTERS
const filters = new Map<string, Uint8Array>()

/**
 * The filter of `defaultProfile` for a container with these capabilities, as of `compileFilter`. The array belongs to
 * all who ask for it: do not write to it.
 */
export function defaultFilter(arch: Architecture, capabilities: readonly string[]): Uint8Array {
  const mask = capabilityMask(capabilities)
  const key = `${arch} ${mask}`
  let filter = filters.get(key)
  if (!filter) {
    filter =
      prepared && mask === capabilityMask(DEFAULT_CAPABILITIES)
        ? Buffer.from(prepared[arch], 'base64')
        : compileFilter(defaultProfile(), { arch, capabilities })
    filters.set(key, filter)
  }
  return filter
}
