/** Groups of processes that are limited, watched and killed together; useful for any process, not only containers. */
import { existsSync } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { CgroupBase } from './cgroup/base.js'
import { CONTROLLERS } from './cgroup/controllers.js'
import { enterLate, makeEntry } from './cgroup/enter-late.js'
import { freeze, isFrozen } from './cgroup/freezer.js'
import { cgroupHost, type LegacyPlace, readHost, readWords } from './cgroup/host.js'
import { perform } from './cgroup/perform.js'
import { addEntry, type CgroupPlan, nativeCgroup, planCgroup, planUpdate } from './cgroup/plan.js'
import { type Limits, settingsFromLimits } from './cgroup/settings.js'
import { readStats, type Stats, withRate } from './cgroup/stats.js'
import { parseKeyed } from './cgroup/usage.js'
import { CaissonError, invalidArgument } from './errors.js'
import { addon, type NativeFailure } from './native/addon.js'
import { errorFromFailure } from './native/failure.js'
import { checkLimits } from './runtime/options/check.js'
import { owner } from './runtime/process/owner.js'
import { type Abortable, abortable, checkAborted } from './util/abort.js'

export type { Stats } from './cgroup/stats.js'

/** What happens in a group. */
export interface CgroupEvent {
  type: 'populated' | 'empty' | 'frozen' | 'thawed' | 'oom' | 'removed'
  time: Date
}

/** Milliseconds between looks for events. */
const POLL = 20

/** A group that is made belongs to this process: when that ends, the group's members are killed and it is removed. */
export class Cgroup implements AsyncDisposable {
  /** How this host has its hierarchies: all v2, controllers on v1 beside a v2, or only v1. */
  readonly mode: 'unified' | 'hybrid' | 'legacy'
  /** Path below the root of the hierarchies, as in /proc/PID/cgroup. */
  readonly path: string
  /** Made by create(): it goes when it is disposed of. */
  readonly #made: boolean
  readonly #base: CgroupBase
  readonly #plan: CgroupPlan
  #before: { time: Date; cpuUserMs: number | null; cpuSystemMs: number | null } | undefined

  private constructor(name: string, base: CgroupBase, plan: CgroupPlan, made = false) {
    const { mode } = base.host
    if (mode === 'none')
      throw new CaissonError('ERR_CAISSON_CGROUP', 'this host has no cgroup hierarchy', {
        stage: 'cgroup',
        hint: 'Mount one: mount -t cgroup2 none /sys/fs/cgroup',
      })
    this.mode = mode
    this.path = name
    this.#made = made
    this.#base = base
    this.#plan = plan
  }

  /** The root of the hierarchies as this process sees them. */
  static async root(options: Abortable = {}): Promise<Cgroup> {
    checkAborted(options.signal, 'cgroup')
    return Cgroup.#at('/', () => '')
  }

  /** The group that a process is in. On v1 hosts it may be in a different one in each hierarchy. */
  static async of(pid: number, options: Abortable = {}): Promise<Cgroup> {
    checkAborted(options.signal, 'cgroup')
    if (!Number.isInteger(pid) || pid < 1) throw invalidArgument('pid', pid, 'a process id')
    const text = await readFile(`/proc/${pid}/cgroup`, 'utf8').catch(() => {
      throw new CaissonError('ERR_CAISSON_CGROUP', `there is no process ${pid}`, {
        stage: 'cgroup',
        hint: 'Check the process id.',
      })
    })
    const host = readHost(await readFile('/proc/self/mountinfo', 'utf8'), text)
    const main = host.unified ?? host.legacy[0]
    const shown = main ? path.relative(main.mountpoint, main.own) : ''
    return Cgroup.#fromHost(
      `/${shown}`,
      host.unified?.own,
      host.legacy.map((hierarchy) => ({ hierarchy, directory: hierarchy.own })),
    )
  }

  /** A new group below this process's own ones; rejects when a limit cannot be had. */
  static async create(name: string, limits: Limits = {}, options: Abortable = {}): Promise<Cgroup> {
    checkAborted(options.signal, 'cgroup')
    if (
      typeof name !== 'string' ||
      !/^[A-Za-z0-9_][A-Za-z0-9_.@:-]{0,200}$/.test(name) ||
      /^(cgroup|memory|cpu|pids|io|cpuset|hugetlb)\./.test(name)
    )
      throw invalidArgument('name', name, 'letters, digits and "_.@:-", not a file name of the kernel')
    checkLimits(limits)
    const { cgroups } = await owner()
    // Groups of containers are named by their ids; a prefix keeps the two apart.
    const plan = planCgroup(cgroups, `group-${name}`, settingsFromLimits(limits))
    const group = new Cgroup(relativePath(plan) ?? `/${name}`, cgroups, plan, true)
    if ([...group.#directories()].some((directory) => existsSync(directory)))
      throw new CaissonError('ERR_CAISSON_NAME_IN_USE', `there is a group ${name} already`, {
        stage: 'cgroup',
        hint: 'Remove it, or choose another name.',
      })
    try {
      await perform(plan.prepare)
    } catch (error) {
      await addon()
        .removeCgroup(nativeCgroup(plan))
        .catch(() => undefined)
      throw error
    }
    return group
  }

  static #at(name: string, below: (mountpoint: string) => string): Cgroup {
    const host = cgroupHost()
    const legacy = host.legacy.map((hierarchy) => ({
      hierarchy,
      directory: path.join(hierarchy.mountpoint, below(hierarchy.mountpoint)),
    }))
    return Cgroup.#fromHost(
      name,
      host.unified && path.join(host.unified.mountpoint, below(host.unified.mountpoint)),
      legacy,
    )
  }

  static #fromHost(name: string, unified: string | undefined, legacy: LegacyPlace[]): Cgroup {
    const controllers = unified ? readWords(path.join(unified, 'cgroup.controllers')) : []
    const plan: CgroupPlan = {
      unified: unified ? { directory: unified, controllers } : undefined,
      legacy,
      prepare: [],
      join: [],
      shown: [],
      files: {},
    }
    return new Cgroup(name, { host: cgroupHost(), legacy: [] }, plan)
  }

  /** The controllers that limit here, by their v2 names. */
  get controllers(): string[] {
    const { unified, legacy } = this.#plan
    return CONTROLLERS.filter(
      ({ name, legacy: old }) =>
        unified?.controllers.includes(name) || legacy.some(({ hierarchy }) => hierarchy.controllers.includes(old)),
    ).map(({ name }) => name)
  }

  /** Changes limits; those that are not named stay. */
  async set(limits: Limits, options: Abortable = {}): Promise<void> {
    checkAborted(options.signal, 'cgroup')
    checkLimits(limits)
    const { writes, entry } = planUpdate(this.#base, this.#plan, settingsFromLimits(limits))
    await perform(writes)
    if (entry.legacy.length === 0) return
    await makeEntry(entry)
    await enterLate(this.#plan, entry)
    addEntry(this.#plan, entry)
  }

  /** What it uses now; `cpus` since the call before. */
  async stats(options: Abortable = {}): Promise<Stats> {
    checkAborted(options.signal, 'cgroup')
    const now = await readStats(this.#plan)
    const stats = this.#before ? withRate(now, this.#before) : now
    this.#before = now
    return stats
  }

  /** Process ids of its members, those of its children not included. */
  async procs(options: Abortable = {}): Promise<number[]> {
    checkAborted(options.signal, 'cgroup')
    const directory = this.#main()
    const text = await readFile(path.join(directory, 'cgroup.procs'), 'utf8').catch((error) => {
      throw this.#unreadable('procs', error)
    })
    return text.split('\n').filter(Boolean).map(Number)
  }

  /** Moves a process into it, threads and all. Its children stay where they are. */
  async add(pid: number, options: Abortable = {}): Promise<void> {
    checkAborted(options.signal, 'cgroup')
    if (!Number.isInteger(pid) || pid < 1) throw invalidArgument('pid', pid, 'a process id')
    await perform(
      [...this.#directories()].map((directory) => ({
        path: path.join(directory, 'cgroup.procs'),
        text: String(pid),
        stage: 'cgroup: add',
      })),
    )
  }

  async freeze(options: Abortable = {}): Promise<void> {
    this.#mustNotBeRoot('freeze')
    await abortable(options.signal, 'freeze', () => freeze(this.#plan, true))
  }

  async thaw(options: Abortable = {}): Promise<void> {
    this.#mustNotBeRoot('thaw')
    await abortable(options.signal, 'thaw', () => freeze(this.#plan, false))
  }

  /** SIGKILL for every process in it and below, frozen or not. Resolves when they are gone. */
  async kill(options: Abortable = {}): Promise<void> {
    this.#mustNotBeRoot('kill')
    await abortable(options.signal, 'kill', () => this.#kill())
  }

  async #kill(): Promise<void> {
    await addon().killCgroup(nativeCgroup(this.#plan))
    for (let waited = 0; waited < 10_000 && (await this.#populated()); waited++) await sleep(1)
  }

  /** Groups directly below. */
  async children(options: Abortable = {}): Promise<Cgroup[]> {
    checkAborted(options.signal, 'cgroup')
    const entries = await readdir(this.#main(), { withFileTypes: true }).catch((error) => {
      throw this.#unreadable('children', error)
    })
    return entries.filter((entry) => entry.isDirectory()).map(({ name }) => this.#child(name))
  }

  #unreadable(what: string, error: NodeJS.ErrnoException): CaissonError {
    return new CaissonError('ERR_CAISSON_CGROUP', `${this.path}: ${error.code}`, {
      stage: `cgroup: ${what}`,
      hint: 'The group was removed, or its files may not be read.',
      cause: error,
    })
  }

  /** Kills what is in it and removes it. */
  async remove(options: Abortable = {}): Promise<void> {
    this.#mustNotBeRoot('remove')
    await abortable(options.signal, 'remove', () => this.#remove())
  }

  async #remove(): Promise<void> {
    try {
      await addon().removeCgroup(nativeCgroup(this.#plan))
    } catch (failure) {
      throw errorFromFailure(failure as NativeFailure)
    }
  }

  /** Removes what create() made; of others only the object goes. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#made) await this.remove()
  }

  /** What happens in it from now on; ends when it is removed, or with the signal. */
  async *events(options: Abortable = {}): AsyncGenerator<CgroupEvent, void, undefined> {
    const look = async () => {
      const populated = await this.#populated()
      const frozen = await isFrozen(this.#plan).catch(() => false)
      return { populated, frozen, oom: await this.#oomKills() }
    }
    const event = (type: CgroupEvent['type']): CgroupEvent => ({ type, time: new Date() })
    let before = await look()
    while (!options.signal?.aborted) {
      await sleep(POLL, undefined, { signal: options.signal }).catch(() => undefined)
      if (!existsSync(this.#main())) {
        yield event('removed')
        return
      }
      const now = await look()
      if (now.populated !== before.populated) yield event(now.populated ? 'populated' : 'empty')
      if (now.frozen !== before.frozen) yield event(now.frozen ? 'frozen' : 'thawed')
      if (now.oom > before.oom) yield event('oom')
      before = now
    }
  }

  /** Every process of the machine is in it. */
  #mustNotBeRoot(what: string): void {
    if (this.path !== '/') return
    throw new CaissonError('ERR_CAISSON_INVALID_STATE', `${what}: this is the root of all groups`, {
      stage: `cgroup: ${what}`,
      hint: 'Make a group with Cgroup.create(), and add processes to it.',
    })
  }

  #main(): string {
    return this.#plan.unified?.directory ?? (this.#plan.legacy[0]?.directory as string)
  }

  *#directories(): Generator<string> {
    if (this.#plan.unified) yield this.#plan.unified.directory
    for (const { directory } of this.#plan.legacy) yield directory
  }

  #child(name: string): Cgroup {
    const { unified, legacy } = this.#plan
    return Cgroup.#fromHost(
      path.join(this.path, name),
      unified && path.join(unified.directory, name),
      legacy
        .map(({ hierarchy, directory }) => ({ hierarchy, directory: path.join(directory, name) }))
        .filter(({ directory }) => existsSync(directory)),
    )
  }

  async #populated(): Promise<boolean> {
    const { unified } = this.#plan
    if (unified) {
      const text = await readFile(path.join(unified.directory, 'cgroup.events'), 'utf8').catch(() => '')
      return /^populated 1$/m.test(text)
    }
    return (await this.procs().catch(() => [])).length > 0
  }

  async #oomKills(): Promise<number> {
    const { unified, legacy } = this.#plan
    const v1 = legacy.find(({ hierarchy }) => hierarchy.controllers.includes('memory'))
    const file = unified?.controllers.includes('memory')
      ? path.join(unified.directory, 'memory.events')
      : v1 && path.join(v1.directory, 'memory.oom_control')
    const text = file ? await readFile(file, 'utf8').catch(() => '') : ''
    return parseKeyed(text).get('oom_kill') ?? 0
  }
}

function relativePath({ unified }: CgroupPlan): string | undefined {
  const mountpoint = cgroupHost().unified?.mountpoint
  return unified && mountpoint !== undefined ? `/${path.relative(mountpoint, unified.directory)}` : undefined
}
