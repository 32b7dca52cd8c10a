/** Linux capabilities by number (linux/capability.h, up to Linux 6.x). */
import { invalidArgument } from '../errors.js'

/** In the order of their numbers, from 0. */
export const CAPABILITIES = [
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_DAC_READ_SEARCH',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_KILL',
  'CAP_SETGID',
  'CAP_SETUID',
  'CAP_SETPCAP',
  'CAP_LINUX_IMMUTABLE',
  'CAP_NET_BIND_SERVICE',
  'CAP_NET_BROADCAST',
  'CAP_NET_ADMIN',
  'CAP_NET_RAW',
  'CAP_IPC_LOCK',
  'CAP_IPC_OWNER',
  'CAP_SYS_MODULE',
  'CAP_SYS_RAWIO',
  'CAP_SYS_CHROOT',
  'CAP_SYS_PTRACE',
  'CAP_SYS_PACCT',
  'CAP_SYS_ADMIN',
  'CAP_SYS_BOOT',
  'CAP_SYS_NICE',
  'CAP_SYS_RESOURCE',
  'CAP_SYS_TIME',
  'CAP_SYS_TTY_CONFIG',
  'CAP_MKNOD',
  'CAP_LEASE',
  'CAP_AUDIT_WRITE',
  'CAP_AUDIT_CONTROL',
  'CAP_SETFCAP',
  'CAP_MAC_OVERRIDE',
  'CAP_MAC_ADMIN',
  'CAP_SYSLOG',
  'CAP_WAKE_ALARM',
  'CAP_BLOCK_SUSPEND',
  'CAP_AUDIT_READ',
  'CAP_PERFMON',
  'CAP_BPF',
  'CAP_CHECKPOINT_RESTORE',
] as const

export type Capability = (typeof CAPABILITIES)[number]

/** What Docker gives to a container by default: 14 of 41. */
export const DEFAULT_CAPABILITIES: readonly Capability[] = [
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_FSETID',
  'CAP_FOWNER',
  'CAP_MKNOD',
  'CAP_NET_RAW',
  'CAP_SETGID',
  'CAP_SETUID',
  'CAP_SETFCAP',
  'CAP_SETPCAP',
  'CAP_NET_BIND_SERVICE',
  'CAP_SYS_CHROOT',
  'CAP_KILL',
  'CAP_AUDIT_WRITE',
]

const NUMBERS = new Map<string, bigint>(CAPABILITIES.map((name, number) => [name, BigInt(number)]))

/** Bit mask of a list of names; names that the table does not have are an error. */
export function capabilityMask(names: readonly string[] = []): bigint {
  let mask = 0n
  for (const name of names) {
    const number = NUMBERS.get(name)
    if (number === undefined) throw invalidArgument('capabilities', name, 'a capability such as CAP_NET_ADMIN')
    mask |= 1n << number
  }
  return mask
}

/** `net_admin` or `CAP_NET_ADMIN` to the full name, `all` to ALL, as Docker's --cap-add takes them. */
export function normalizeCapability(name: string): string {
  const upper = name.trim().toUpperCase()
  if (upper === 'ALL' || upper === 'CAP_ALL') return 'ALL'
  const full = upper.startsWith('CAP_') ? upper : `CAP_${upper}`
  if (!NUMBERS.has(full)) throw invalidArgument('capabilities', name, 'a capability such as NET_ADMIN, or ALL')
  return full
}

/**
 * The capabilities among `names` that a process with this bounding set (CapBnd of /proc/PID/status, hexadecimal) can
 * give: "all of them" means all that there are to give, also where we run with fewer than the kernel has.
 */
export function withinBounding(names: readonly string[], bounding: string): string[] {
  const mask = BigInt(`0x${bounding}`)
  return names.filter((name) => (mask >> (NUMBERS.get(name) ?? 64n)) & 1n)
}

/** Docker's rules: with ALL added, all but the dropped; with ALL dropped, just the added; else both on the defaults. */
export function chooseCapabilities(add: readonly string[] = [], drop: readonly string[] = []): string[] {
  const added = new Set(add.map(normalizeCapability))
  const dropped = new Set(drop.map(normalizeCapability))
  if (added.has('ALL')) return CAPABILITIES.filter((name) => !dropped.has(name))
  if (dropped.has('ALL')) return CAPABILITIES.filter((name) => added.has(name))
  const defaults = new Set<string>(DEFAULT_CAPABILITIES)
  return CAPABILITIES.filter((name) => added.has(name) || (defaults.has(name) && !dropped.has(name)))
}
