/** All controllers, in the order in which their limits are set. */
import type { Controller } from './controller.js'
import { cpu } from './cpu.js'
import { cpuset } from './cpuset.js'
import { devices } from './devices.js'
import { hugetlb } from './hugetlb.js'
import { io } from './io.js'
import { memory } from './memory.js'
import { pids } from './pids.js'

export const CONTROLLERS: readonly Controller[] = [cpuset, cpu, io, memory, pids, hugetlb, devices]
