/** The ground: operating system, kernel, addon, and whether a child can be made at all. */
import os from 'node:os'
import { addon } from '../native/addon.js'
import { bad, type Finding, ok, type Subject, unknown } from './finding.js'
import { attempt, refusalOf, setting, type Trial } from './trial.js'

const PLATFORM: Subject = { id: 'platform', what: 'operating system', why: 'Containers are a feature of Linux.' }
const ADDON: Subject = { id: 'addon', what: 'native addon', why: 'It makes the system calls; without it nothing runs.' }
const KERNEL: Subject = {
  id: 'kernel.version',
  what: 'kernel version',
  why: 'Containers are put together with mount_setattr and its like, which Linux has had since 5.12.',
}
const CHILD: Subject = {
  id: 'process',
  what: 'starting the init program',
  why: 'Every container begins as a child that executes a sealed memory file.',
}

export interface Ground {
  findings: Finding[]
  /** Children can be made, so the rest can be tried. */
  usable: boolean
}

export async function examineGround(): Promise<Ground> {
  const findings: Finding[] = []
  const where = `${process.platform}-${process.arch}`
  if (process.platform !== 'linux' || !['x64', 'arm64'].includes(process.arch)) {
    const fix = 'Run on Linux for x86_64 or arm64: a server, a virtual machine, or WSL 2.'
    findings.push(bad(PLATFORM, 'missing', where, fix), unknown(ADDON, `there is none for ${where}`))
    return { findings, usable: false }
  }
  findings.push(ok(PLATFORM, where), kernelVersion(os.release()))
  try {
    addon()
    findings.push(ok(ADDON, `loaded by Node ${process.version}`))
  } catch (error) {
    const { text } = refusalOf(error as Error)
    findings.push(bad(ADDON, 'missing', text, (error as { hint?: string }).hint ?? ''))
    return { findings, usable: false }
  }
  const child = await attempt(() => undefined)
  findings.push(startOf(child))
  return { findings, usable: child.errand !== undefined }
}

export function kernelVersion(release: string): Finding {
  const [major = 0, minor = 0] = release.split('.').map((part) => Number.parseInt(part, 10))
  if (major > 5 || (major === 5 && minor >= 12)) return ok(KERNEL, release)
  return bad(KERNEL, 'missing', release, 'Install a kernel of version 5.12 or later, and restart the machine.')
}

function startOf({ refusal }: Trial): Finding {
  if (!refusal) return ok(CHILD)
  const noexec = setting('/proc/sys/vm/memfd_noexec')
  if (refusal.syscall === 'memfd_create' && noexec !== undefined && noexec !== '0')
    return bad(CHILD, 'missing', `${refusal.text}; vm.memfd_noexec is ${noexec}`, 'sysctl -w vm.memfd_noexec=1')
  return bad(CHILD, 'missing', refusal.text, 'Raise the limits of processes and open files (ulimit -u, ulimit -n).')
}
