/** Cgroups: what there is, and what we may do with it, tried in cgroups that are gone at the end. */
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import path from 'node:path'
import { howToDelegate } from '../cgroup/delegate.js'
import { type CgroupHost, cgroupHost, type Hierarchy, unifiedParent } from '../cgroup/host.js'
import { addon, type NativeCgroup } from '../native/addon.js'
import { explained } from '../runtime/process/namespaces.js'
import { bad, type Finding, ok, type Subject, unknown } from './finding.js'
import { attempt, isRoot, refusalOf, setting } from './trial.js'

const MODE: Subject = {
  id: 'cgroup.mode',
  what: 'cgroups',
  why: 'Limits, accounts, and ending everything that a container started depend on them.',
}
const CREATE: Subject = {
  id: 'cgroup.create',
  what: 'making cgroups',
  why: 'Every container has a cgroup of its own; without it stragglers can only be found one by one.',
}
const INTO: Subject = {
  id: 'cgroup.into',
  what: 'processes born in their cgroup',
  why: 'Moving a process later waits for all processors, some 10 milliseconds a container.',
}
const KILL: Subject = {
  id: 'cgroup.kill',
  what: 'killing a cgroup at once',
  why: 'A fork bomb cannot outrun it; without it processes are frozen and killed one by one.',
}
const CONTROLLERS: Subject = {
  id: 'cgroup.controllers',
  what: 'controllers',
  why: 'A limit without its controller is an error, never ignored.',
}
const SWAP: Subject = {
  id: 'cgroup.swap',
  what: 'limits of swap',
  why: 'A container at its limit of memory would go on in swap.',
}

/** By their names in v2, with what v1 calls them. */
const WANTED: Array<[name: string, legacy: string, limits: string]> = [
  ['memory', 'memory', 'limits.memory'],
  ['pids', 'pids', 'limits.pids'],
  ['cpu', 'cpu', 'limits.cpus'],
  ['cpuset', 'cpuset', 'limits.cpuset'],
  ['io', 'blkio', 'limits.io'],
]

export interface CgroupSummary {
  mode: CgroupHost['mode']
  /** Controllers that limits can use, by their names in v2. */
  controllers: string[]
}

export async function examineCgroups(): Promise<{ findings: Finding[]; summary: CgroupSummary }> {
  let host: CgroupHost
  try {
    host = cgroupHost()
  } catch (error) {
    const findings = [MODE, CREATE, INTO, KILL, CONTROLLERS, SWAP].map((each) =>
      unknown(each, (error as Error).message),
    )
    return { findings, summary: { mode: 'none', controllers: [] } }
  }
  const name = `caisson-doctor-${process.pid}-${randomBytes(4).toString('hex')}`
  const parent = host.unified && unifiedParent(host.unified)
  const unified = parent && path.join(parent.directory, name)
  const legacy = host.legacy.map((hierarchy) => ({ hierarchy, directory: path.join(hierarchy.own, name) }))
  const made: NativeCgroup = { legacy: [] }
  const failures: string[] = []
  try {
    if (unified && (await makeDirectory(unified, failures))) made.unified = unified
    const usable: Hierarchy[] = []
    for (const { hierarchy, directory } of legacy)
      if (await makeDirectory(directory, failures)) {
        made.legacy?.push(directory)
        usable.push(hierarchy)
      }
    const available = [
      ...(made.unified && host.mode === 'unified' ? (parent?.controllers ?? []) : []),
      ...usable.flatMap(({ controllers }) => controllers),
    ]
    const controllers = WANTED.filter(([each, old]) => available.includes(each) || available.includes(old))
    return {
      findings: [
        mode(host),
        create(host, made, failures),
        await into(made.unified),
        kill(made.unified),
        controllerFinding(
          host,
          controllers.map(([each]) => each),
        ),
        swap(host, made.unified, available),
      ],
      summary: { mode: host.mode, controllers: controllers.map(([each]) => each) },
    }
  } finally {
    await addon()
      .removeCgroup(made)
      .catch(() => undefined)
  }
}

async function makeDirectory(directory: string, failures: string[]): Promise<boolean> {
  try {
    await explained(addon().perform([{ path: directory, stage: 'cgroup' }]))
    return true
  } catch (error) {
    failures.push(refusalOf(error as Error).text)
    return false
  }
}

function mode(host: CgroupHost): Finding {
  if (host.mode === 'none') return bad(MODE, 'missing', 'none is mounted', 'mount -t cgroup2 none /sys/fs/cgroup')
  const names = host.legacy.flatMap(({ controllers }) => controllers)
  const detail =
    host.mode === 'unified'
      ? 'v2'
      : host.mode === 'hybrid'
        ? `controllers on v1 (${names.join(', ')}), v2 without them`
        : `v1 only (${names.join(', ')})`
  if (host.mode === 'unified') return ok(MODE, detail)
  const fix = 'Boot with systemd.unified_cgroup_hierarchy=1 on the kernel command line.'
  return host.mode === 'hybrid' ? ok(MODE, detail) : bad(MODE, 'warning', detail, fix)
}

function create(host: CgroupHost, made: NativeCgroup, failures: string[]): Finding {
  const count = (made.unified ? 1 : 0) + (made.legacy?.length ?? 0)
  if (failures.length === 0 && count > 0) return ok(CREATE, made.unified ? path.dirname(made.unified) : 'on v1')
  if (made.unified) return ok(CREATE, `${path.dirname(made.unified)}; not on v1: ${failures[0]}`)
  const fix = isRoot()
    ? 'Make /sys/fs/cgroup writable: start the outer container with --privileged, or with --cgroupns=private and a writable /sys/fs/cgroup.'
    : howToDelegate(host)
  return bad(CREATE, 'warning', failures[0] ?? 'no cgroup here may be written to', fix)
}

async function into(unified: string | undefined): Promise<Finding> {
  if (!unified) return unknown(INTO, 'there is no cgroup v2 that we may write to')
  const { refusal } = await attempt(() => undefined, { cgroup: unified })
  return refusal ? bad(INTO, 'warning', refusal.text, 'Use a kernel of version 5.7 or later.') : ok(INTO)
}

function kill(unified: string | undefined): Finding {
  if (!unified) return unknown(KILL, 'there is no cgroup v2 that we may write to')
  if (existsSync(path.join(unified, 'cgroup.kill'))) return ok(KILL)
  return bad(KILL, 'warning', 'there is no file cgroup.kill', 'Use a kernel of version 5.14 or later.')
}

function controllerFinding(host: CgroupHost, controllers: readonly string[]): Finding {
  const missing = WANTED.filter(([name]) => !controllers.includes(name))
  if (missing.length === 0) return ok(CONTROLLERS, controllers.join(', '))
  const detail = missing.map(([name, , option]) => `no ${name} (${option})`).join(', ')
  const fix = isRoot()
    ? 'See cgroup.controllers of the cgroup that this process is in; each level above must list the controller in cgroup.subtree_control.'
    : howToDelegate(host)
  return bad(CONTROLLERS, 'warning', detail, fix)
}

function swap(host: CgroupHost, unified: string | undefined, controllers: readonly string[]): Finding {
  const swaps = (setting('/proc/swaps') ?? '').split('\n').slice(1)
  if (swaps.length === 0) return ok(SWAP, 'this machine has no swap')
  const memory = host.legacy.find(({ controllers }) => controllers.includes('memory'))
  const files = [
    ...(memory ? [path.join(memory.own, 'memory.memsw.limit_in_bytes')] : []),
    ...(host.unified
      ? [path.join(unified ?? host.unified.own, 'memory.swap.max'), path.join(host.unified.own, 'memory.swap.max')]
      : []),
  ]
  if (files.some((file) => existsSync(file))) return ok(SWAP)
  if (!controllers.includes('memory')) return unknown(SWAP, 'there is no memory controller to ask')
  return bad(SWAP, 'warning', 'the kernel does not count swap', 'Boot with swapaccount=1 on the kernel command line.')
}
