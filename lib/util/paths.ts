/** Paths inside containers. */
import path from 'node:path'
import { invalidArgument } from '../errors.js'

/**
 * An absolute path that the kernel resolves inside a root, as openat2(2) does with RESOLVE_IN_ROOT: with `..`, which stays
 * inside, and with a slash behind it, which asks for a directory.
 */
export function resolvedPath(value: unknown, option: string): string {
  if (typeof value !== 'string' || !value.startsWith('/') || value.includes('\0'))
    throw invalidArgument(option, value, 'an absolute path')
  return value
}

/**
 * An absolute path without `.`, `..` or doubled slashes. `..` is refused, not resolved: in an option it is a mistake
 * or an attack, and both want to be told.
 */
export function insidePath(value: unknown, option: string): string {
  if (typeof value !== 'string' || !value.startsWith('/') || value.includes('\0'))
    throw invalidArgument(option, value, 'an absolute path')
  if (value.split('/').includes('..')) throw invalidArgument(option, value, 'a path without ".."')
  const normal = path.posix.normalize(value)
  return normal.length > 1 && normal.endsWith('/') ? normal.slice(0, -1) : normal
}
