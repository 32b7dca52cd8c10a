/** Modes and owners of files, as options have them. */
import { invalidArgument } from '../../errors.js'

/** As a number or, as in chmod(1) and fs.chmod(), its octal digits. */
export function fileMode(mode: unknown, option: string): number {
  const value = typeof mode === 'string' && /^[0-7]{1,4}$/.test(mode) ? Number.parseInt(mode, 8) : mode
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > 0o7777)
    throw invalidArgument(option, mode, 'a mode from 0 to 0o7777')
  return value
}

export function userId(id: unknown, option: string): number {
  if (typeof id !== 'number' || !Number.isInteger(id) || id < 0 || id > 0xfffffffe)
    throw invalidArgument(option, id, 'a number of a user or group')
  return id
}
