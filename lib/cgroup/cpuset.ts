import type { Controller, FileWrite } from './controller.js'

function writes(cpus: string | undefined, mems: string | undefined): FileWrite[] {
  const list: FileWrite[] = []
  if (cpus !== undefined) list.push({ file: 'cpuset.cpus', text: cpus })
  if (mems !== undefined) list.push({ file: 'cpuset.mems', text: mems })
  return list
}

/** Processors and memory nodes. In v1 both must be filled in before a process can enter; layout.ts sees to that. */
export const cpuset: Controller = {
  name: 'cpuset',
  legacy: 'cpuset',
  needed: (s) => s.cpusetCpus !== undefined || s.cpusetMems !== undefined,
  unified: (s) => writes(s.cpusetCpus, s.cpusetMems),
  legacyWrites: (s) => writes(s.cpusetCpus, s.cpusetMems),
}
