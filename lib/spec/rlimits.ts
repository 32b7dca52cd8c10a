/** Resource limits by name (setrlimit(2)); the numbers are those of x86 and arm. */
import { invalidArgument } from '../errors.js'

const RESOURCES = [
  'CPU',
  'FSIZE',
  'DATA',
  'STACK',
  'CORE',
  'RSS',
  'NPROC',
  'NOFILE',
  'MEMLOCK',
  'AS',
  'LOCKS',
  'SIGPENDING',
  'MSGQUEUE',
  'NICE',
  'RTPRIO',
  'RTTIME',
]

/** `RLIMIT_NOFILE` or `nofile` to its number. */
export function resourceNumber(type: string): number {
  const number = RESOURCES.indexOf(type.toUpperCase().replace(/^RLIMIT_/, ''))
  if (number < 0) throw invalidArgument('ulimits', type, 'a resource such as nofile')
  return number
}

export function resourceName(type: string): string {
  return `RLIMIT_${RESOURCES[resourceNumber(type)]}`
}
