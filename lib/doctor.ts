/** What this machine can do for containers, found out by trying; and how to mend what it cannot. */
import os from 'node:os'
import { type CgroupSummary, examineCgroups } from './doctor/cgroups.js'
import { examineEnvironment } from './doctor/environment.js'
import type { Finding } from './doctor/finding.js'
import { examineIsolation } from './doctor/isolation.js'
import { examineLimits } from './doctor/limits.js'
import { examineMounts } from './doctor/mounts.js'
import { examineNamespaces } from './doctor/namespaces.js'
import { examineBridges, examineNetwork } from './doctor/network.js'
import { examineGround } from './doctor/platform.js'
import { dataDirectory, examineStorage } from './doctor/storage.js'
import { examineSyscalls } from './doctor/syscalls.js'
import { type Abortable, abortable } from './util/abort.js'
import { roots } from './util/roots.js'

export type { Finding, FindingState } from './doctor/finding.js'

export interface Report {
  /** Nothing that containers need is missing. */
  ok: boolean
  /** The strongest isolation that can be had: containers, landlock and a filter alone, or none. */
  tier: 'namespaces' | 'landlock' | 'none'
  findings: Finding[]
  /** Release, as `6.1.0`. */
  kernel: string
  platform: string
  arch: string
  node: string
  uid: number | null
  /** This process is in a container itself. */
  container: boolean
  cgroup: CgroupSummary
  roots: { data: string; run: string }
}

/**
 * Tries what containers need, each thing in a child of its own, so that nothing of this process or the machine is
 * changed. Never throws: what cannot be tried is a finding too. Takes some tens of milliseconds.
 */
export function doctor(options: Abortable = {}): Promise<Report> {
  return abortable(options.signal, 'doctor', examine)
}

async function examine(): Promise<Report> {
  const ground = await examineGround()
  const findings = [...ground.findings]
  const report: Report = {
    ok: false,
    tier: 'none',
    findings,
    kernel: os.release(),
    platform: process.platform,
    arch: process.arch,
    node: process.version,
    uid: process.geteuid?.() ?? null,
    container: false,
    cgroup: { mode: 'none', controllers: [] },
    roots: roots(),
  }
  if (process.platform === 'linux') {
    const data = await dataDirectory()
    if (ground.usable) {
      findings.push(...(await examineSyscalls()), ...(await examineNamespaces()), ...(await examineMounts(data)))
      const { findings: about, summary } = await examineCgroups()
      findings.push(...about)
      report.cgroup = summary
      const { finding, tier } = await examineIsolation(data)
      findings.push(finding)
      report.tier = tier
    }
    findings.push(examineNetwork())
    const bridges = ground.usable ? await examineBridges() : undefined
    if (bridges) findings.push(bridges)
    const { finding, container } = examineEnvironment()
    findings.push(...(await examineStorage(data)), ...examineLimits(), finding)
    report.container = container
  }
  report.ok = findings.every(({ state }) => state !== 'missing')
  return report
}
