/** The processes of a container, as ps would show them. */
import { readdir, readFile, readlink } from 'node:fs/promises'
import path from 'node:path'
import type { CgroupPlan } from '../../cgroup/plan.js'

export interface ProcessInfo {
  /** As this process sees it. */
  pid: number
  ppid: number
  /** As the container sees it. */
  containerPid: number
  uid: number
  /** R, S, D, Z and so on, as in ps. */
  state: string
  threads: number
  memoryBytes: number
  command: string
  args: string[]
}

/**
 * The program's, and those of execs, whose cgroups lie below the container's. Without cgroups: all that are in the pid
 * namespace of `first`, or, when that is `guarded`, descend from its parent.
 */
export async function processesIn(
  { unified, legacy }: CgroupPlan,
  first: number,
  guarded = false,
): Promise<ProcessInfo[]> {
  const root = unified?.directory ?? legacy[0]?.directory
  if (root === undefined) return guarded ? descendants(first) : infos(await sharingPids(first))
  const entries = await readdir(root, { withFileTypes: true }).catch(() => [])
  const below = entries.filter((entry) => entry.isDirectory()).map((entry) => path.join(root, entry.name))
  return processesOf([root, ...below])
}

async function processesOf(directories: readonly string[]): Promise<ProcessInfo[]> {
  const pids = new Set<string>()
  for (const directory of directories)
    for (const pid of (await read(directory, 'cgroup.procs'))?.split('\n') ?? []) if (pid) pids.add(pid)
  return infos([...pids])
}

async function descendants(first: number): Promise<ProcessInfo[]> {
  const all = await infos((await readdir('/proc')).filter((name) => /^\d+$/.test(name)))
  const guard = all.find(({ pid }) => pid === first)?.ppid
  const found = new Set(guard === undefined ? [] : [guard])
  for (let size = 0; size !== found.size; ) {
    size = found.size
    for (const { pid, ppid } of all) if (found.has(ppid)) found.add(pid)
  }
  return all.filter(({ pid }) => pid !== guard && found.has(pid))
}

async function sharingPids(first: number): Promise<string[]> {
  const namespace = (pid: string) => readlink(`/proc/${pid}/ns/pid`).catch(() => undefined)
  const wanted = await namespace(String(first))
  const all = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const found = await Promise.all(all.map(namespace))
  return wanted === undefined ? [] : all.filter((_, i) => found[i] === wanted)
}

async function infos(pids: readonly string[]): Promise<ProcessInfo[]> {
  const list = await Promise.all(pids.map(processInfo))
  return list.filter((info) => info !== undefined).sort((a, b) => a.pid - b.pid)
}

/** undefined when it has ended meanwhile. */
async function processInfo(pid: string): Promise<ProcessInfo | undefined> {
  const [status, cmdline] = await Promise.all([read(`/proc/${pid}`, 'status'), read(`/proc/${pid}`, 'cmdline')])
  if (status === undefined) return undefined
  const field = (name: string) => new RegExp(`^${name}:\\s*(.*)$`, 'm').exec(status)?.[1] ?? ''
  const args = (cmdline ?? '').split('\0').slice(0, -1)
  return {
    pid: Number(pid),
    ppid: Number(field('PPid')),
    containerPid: Number(field('NSpid').split(/\s+/).at(-1) || pid),
    uid: Number(field('Uid').split(/\s+/)[0]),
    state: field('State').slice(0, 1),
    threads: Number(field('Threads')),
    memoryBytes: Number.parseInt(field('VmRSS') || '0', 10) * 1024,
    command: field('Name'),
    args,
  }
}

async function read(directory: string, file: string): Promise<string | undefined> {
  return readFile(path.join(directory, file), 'utf8').catch(() => undefined)
}
