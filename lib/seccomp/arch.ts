/** The system calls of this process's machine. */
import { CaissonError } from '../errors.js'
import type { Architecture } from './profile.js'

export function architecture(): Architecture {
  if (process.arch === 'x64' || process.arch === 'arm64') return process.arch
  throw new CaissonError(
    'ERR_CAISSON_UNSUPPORTED_PLATFORM',
    `security.seccomp: no system call table for ${process.arch}`,
    {
      stage: 'options',
      hint: 'caisson runs on x64 and arm64.',
    },
  )
}
