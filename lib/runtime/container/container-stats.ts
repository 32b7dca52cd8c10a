/** What a container uses: its cgroup's figures, and those of its networks. */
import { readStats, type Stats, statsEvery, withRate } from '../../cgroup/stats.js'
import { type DeviceFigures, deviceFigures } from '../../network/device-figures.js'
import type { Life } from './life.js'
import type { Parts } from './parts.js'

export interface ContainerStats extends Stats {
  /** By device, of the networks that it is on (eth0 is the first); since its start. */
  networks: Record<string, DeviceFigures>
}

type Measured = Pick<Life, 'pid' | 'running' | 'startedAt'>

async function readContainerStats(
  { assembled, network }: Pick<Parts, 'assembled' | 'network'>,
  { pid }: Pick<Measured, 'pid'>,
): Promise<ContainerStats> {
  const devices = (network?.endpoints ?? []).map(({ inside }) => inside)
  const [stats, networks] = await Promise.all([
    readStats(assembled.cgroup),
    pid === null ? {} : deviceFigures(pid, devices),
  ])
  return { ...stats, networks }
}

/** `cpus`: since its start. */
export async function statsSinceStart(parts: Parts, life: Measured): Promise<ContainerStats> {
  const time = life.startedAt ?? new Date()
  return withRate(await readContainerStats(parts, life), { time, cpuUserMs: 0, cpuSystemMs: 0 })
}

/** One every `interval` milliseconds, while it runs. */
export function containerStatsEvery(
  interval: number,
  parts: Parts,
  life: Measured,
  signal: AbortSignal | undefined,
): AsyncGenerator<ContainerStats, void, undefined> {
  return statsEvery(
    interval,
    () => readContainerStats(parts, life),
    () => life.running !== undefined,
    signal,
  )
}
