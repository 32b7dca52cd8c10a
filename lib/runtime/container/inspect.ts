/** What inspect() tells of a container. */
import path from 'node:path'
import { EgressNetwork } from '../../network/egress/network.js'
import type { EgressUsage } from '../../network/egress/request.js'
import type { PublishedPort } from '../../network/ports.js'
import type { ContainerOptions, Limits } from '../../options.js'
import type { Tier } from '../isolation/isolation.js'
import { type IsolationReport, toldIsolation } from '../isolation/told.js'
import type { Assembled } from '../options/assemble.js'
import type { Owner } from '../process/owner.js'
import { type ExecResult, type Reason, signalNumber } from '../process/verdict.js'
import type { ContainerNetwork } from './attachments.js'
import type { Health } from './health.js'
import type { ContainerState, Life } from './life.js'
import type { Recorded } from './registry.js'
import type { HeldVolumes } from './volumes.js'

export interface ContainerInspection {
  id: string
  name: string
  image: string
  created: Date
  labels: Readonly<Record<string, string>>
  state: {
    status: ContainerState
    running: boolean
    paused: boolean
    pid: number | null
    /** Of the last run; 128 and the signal for one that was killed. */
    exitCode: number | null
    reason: Reason | null
    oomKilled: boolean
    health: Health
    startedAt: Date | null
    finishedAt: Date | null
    restarts: number
  }
  command: readonly string[]
  env: readonly string[]
  workdir: string
  user: string
  hostname: string
  tty: boolean
  mounts: NonNullable<ContainerOptions['mounts']>
  limits: Limits
  network: NonNullable<ContainerOptions['network']>
  /** How it is on networks, in the order of its devices. */
  endpoints: Array<{
    network: string
    device: string
    ipv4: string
    ipv6?: string
    mac: string
    names: readonly string[]
  }>
  /** What went through its egress policy; null: it has none. */
  egress: EgressUsage | null
  /** While it runs. */
  ports: readonly PublishedPort[]
  volumes: Array<{ name: string; target: string; anonymous: boolean }>
  /** Its own, by the names of the OCI specification. */
  namespaces: readonly string[]
  capabilities: readonly string[]
  /** What keeps it apart: see doctor(). */
  tier: Tier
  isolation: IsolationReport
  /** An OCI bundle of it: config.json and rootfs; empty without namespaces. */
  bundle: string
  /** Its writable layer, when that is on disk. */
  upper: string | null
  cgroup: { unified: string | null; legacy: string[] }
  log: string
}

export interface Inspected {
  id: string
  name: string
  image: string
  created: Date
  labels: Readonly<Record<string, string>>
  options: ContainerOptions
  assembled: Assembled
  run: string
  data: string | undefined
  network?: ContainerNetwork
  volumes?: HeldVolumes
  log: string
  owner: Owner
}

export function inspection(container: Inspected, life: Life): ContainerInspection {
  const { id, name, image, created, labels, options, assembled, run, data, network, volumes, log } = container
  const { spec } = assembled.workload
  const { result } = life
  const isolation = toldIsolation(container.owner.isolation, assembled.workload)
  return {
    id,
    name,
    image,
    created,
    labels,
    state: {
      status: life.state,
      running: life.state === 'running' || life.state === 'paused',
      paused: life.state === 'paused',
      pid: life.pid,
      exitCode: result ? exitStatus(result) : null,
      reason: result?.reason ?? null,
      oomKilled: result?.reason === 'oom',
      health: life.health,
      startedAt: life.startedAt ?? null,
      finishedAt: life.finishedAt ?? null,
      restarts: life.restarts,
    },
    command: spec.process?.args ?? [],
    env: spec.process?.env ?? [],
    workdir: spec.process?.cwd ?? '/',
    user: assembled.workload.user ?? '',
    hostname: spec.hostname ?? '',
    tty: spec.process?.terminal ?? false,
    mounts: (options.mounts ?? []).map((mount) => ({ ...mount })),
    limits: { ...options.limits },
    network: options.network ?? 'none',
    endpoints: (network?.endpoints ?? []).map(({ network: { name }, inside, ipv4, ipv6, mac, names }) => ({
      network: name,
      device: inside,
      ipv4,
      ipv6,
      mac,
      names,
    })),
    egress: network instanceof EgressNetwork ? { ...network.usage } : null,
    ports: [...(network?.publications.ports ?? [])],
    volumes: (volumes?.names ?? []).map((volume) => ({ ...volume })),
    namespaces: (spec.linux?.namespaces ?? []).map((namespace) => namespace.type),
    capabilities: spec.process?.capabilities?.bounding ?? [],
    tier: isolation.tier,
    isolation,
    bundle: assembled.workload.sandbox ? '' : run,
    upper: data === undefined ? null : path.join(data, 'upper'),
    cgroup: {
      unified: assembled.cgroup.unified?.directory ?? null,
      legacy: assembled.cgroup.legacy.map(({ directory }) => directory),
    },
    log,
  }
}

/** What others than the owner are told of its program (registry.ts). */
export function recorded({ assembled, network }: Pick<Inspected, 'assembled' | 'network'>, life: Life): Recorded {
  const { result, startedAt, finishedAt } = life
  return {
    command: assembled.workload.spec.process?.args ?? [],
    ports: [...(network?.publications.ports ?? [])],
    startedAt,
    finishedAt,
    exitCode: result && exitStatus(result),
  }
}

/** As a shell and Docker number it: 128 and the signal for one that was killed. */
function exitStatus(result: ExecResult): number {
  return result.exitCode ?? 128 + (signalNumber(result.signal ?? 'SIGKILL') ?? 9)
}
