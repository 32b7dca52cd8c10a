/** Whether this process may do as root does: mount, make namespaces and devices, and own files of others. */
import { accessSync, constants, readFileSync } from 'node:fs'
import { parseMountInfo } from './mountinfo.js'

const CAP_SYS_ADMIN = 21n

let known: { euid: number | undefined; privileged: boolean } | undefined

/**
 * The root of a container has the number 0 too, but not the capability; that of a user namespace has it for what belongs
 * to that alone. Nor does it count where no cgroup can limit devices, as in most outer containers: a container's device
 * nodes would be the host's devices, but in a user namespace they are nothing. Looked at once for each user that we are.
 */
export function privileged(): boolean {
  const euid = process.geteuid?.()
  if (known?.euid !== euid || known === undefined)
    known = { euid, privileged: euid === 0 && canAdminister() && canLimitDevices() }
  return known.privileged
}

function canAdminister(): boolean {
  try {
    const everybody = /^\s*0\s+0\s+4294967295\s*$/.test(readFileSync('/proc/self/uid_map', 'utf8'))
    return everybody && hasCapability(readFileSync('/proc/self/status', 'utf8'), CAP_SYS_ADMIN)
  } catch {
    return true
  }
}

/** By a program on a cgroup of v2, or by the devices hierarchy of v1. */
function canLimitDevices(): boolean {
  return parseMountInfo(readFileSync('/proc/self/mountinfo', 'utf8')).some(({ fsType, superOptions, mountpoint }) => {
    if (fsType !== 'cgroup2' && !(fsType === 'cgroup' && superOptions.split(',').includes('devices'))) return false
    try {
      accessSync(mountpoint, constants.W_OK)
      return true
    } catch {
      return false
    }
  })
}

/** In the effective set of a process, by the text of its /proc/PID/status. */
export function hasCapability(status: string, capability: bigint): boolean {
  const mask = /^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1]
  return mask !== undefined && ((BigInt(`0x${mask}`) >> capability) & 1n) === 1n
}
