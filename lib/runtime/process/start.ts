/** Starts a workload: the one place where a plan becomes a request to the addon. */

import type { CgroupBase } from '../../cgroup/base.js'
import { type CgroupPlan, nativeCgroup } from '../../cgroup/plan.js'
import { unavailable } from '../../cgroup/unavailable.js'
import { accountPaths } from '../../cgroup/usage.js'
import type { NativeRequest } from '../../native/addon.js'
import type { Lowered } from '../lower/lower.js'
import { Running, type RunningEvents } from './running.js'

export type StartRequest = Pick<
  NativeRequest,
  | 'stdio'
  | 'input'
  | 'captureLimit'
  | 'log'
  | 'logLimit'
  | 'wallLimitMs'
  | 'cpuLimitMs'
  | 'quiet'
  | 'killRest'
  | 'parks'
  | 'background'
  | 'devices'
>

/** CPU time is counted by a cgroup or not at all: descendants are not this process's to wait for. */
export function checkCounted(
  { cpuLimitMs }: Pick<StartRequest, 'cpuLimitMs'>,
  cgroup: Pick<CgroupPlan, 'files'>,
  base: CgroupBase,
): void {
  if (cpuLimitMs && cgroup.files.cpu === undefined) throw unavailable(base, 'cpuTimeout', 'cpuacct')
}

export function start(lowered: Lowered, cgroup: CgroupPlan, request: StartRequest, events: RunningEvents): Running {
  const { plan } = lowered
  const running = new Running(
    {
      ...request,
      plan: plan.finish(),
      inherited: plan.inherited,
      inheritedPaths: plan.inheritedPaths,
      newNetwork: plan.hasNewNetwork,
      namespaces: lowered.cloneFlags,
      ownPids: lowered.ownPids,
      guarded: lowered.guarded,
      cgroup: nativeCgroup(cgroup),
      bornOutside: lowered.attended,
      prepare: cgroup.prepare,
      awaitsSteps: cgroup.join.length > 0,
      collect: accountPaths(cgroup.files),
      cpuFile: cgroup.files.cpu,
      oomControl: cgroup.oomControl,
    },
    events,
  )
  plan.release()
  return running
}
