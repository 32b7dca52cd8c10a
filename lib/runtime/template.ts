/**
 * Runs that differ only in what they run: whoever runs many programs does so with the same image and options. What
 * follows from these is decided once, and kept by the addon; a run then brings its id, its files and its command.
 */
import type { AccountFiles } from '../cgroup/accounts.js'
import { type CgroupPlan, nativeCgroup } from '../cgroup/plan.js'
import { accountPaths } from '../cgroup/usage.js'
import { addon, type NativeTemplate } from '../native/addon.js'
import type { Note } from '../native/failure.js'
import type { RunOptions } from '../options.js'
import { newId } from '../util/ids.js'
import { assemble, type ImageRoot, injectedFiles } from './assemble.js'
import { checkContainerOptions } from './check-options.js'
import { chooseNamespaces } from './choose-namespaces.js'
import { execute, injectFiles, lower } from './lower.js'
import type { Owner } from './owner.js'
import { Plan } from './plan.js'
import { Running, type RunningEvents } from './running.js'
import { commandLine, programEnvironment } from './spec-process.js'
import type { StartRequest } from './start.js'

/** Digits of an id that make a host name. */
const SHORT = 12
/** Templates that an image keeps: the latest. */
const KEPT = 16

/** Options that no template depends on: of the program alone, or of the caller's own. */
const OF_ONE_RUN = new Set<string>([
  ...['env', 'files', 'input', 'timeout', 'cpuTimeout', 'maxOutput', 'signal', 'throwOnError', 'name', 'labels'],
])

export interface StartedRun {
  id: string
  args: string[]
  running: Running
  files: AccountFiles
  /** What the records of its plan are for. */
  notes(): Note[]
}

export class RunTemplate {
  readonly #image: ImageRoot
  readonly #options: Plain
  readonly #euid = process.geteuid?.()
  readonly #native: NativeTemplate
  readonly #placeholder: string
  readonly #hostname: string
  readonly #notes: readonly Note[]
  readonly #filesRecord: number
  readonly #files: AccountFiles

  private constructor(image: ImageRoot, options: Plain, parts: ReturnType<typeof prepare>) {
    this.#image = image
    this.#options = options
    this.#native = parts.native
    this.#placeholder = parts.id
    this.#hostname = parts.hostname
    this.#notes = parts.notes
    this.#filesRecord = parts.filesRecord
    this.#files = parts.files
  }

  /** undefined: these options hold what cannot be used twice, or must be looked at each time. */
  static async make(owner: Owner, image: ImageRoot, options: RunOptions): Promise<RunTemplate | undefined> {
    const kept = relevant(options)
    if (kept === undefined || looksAtTheHost(options)) return undefined
    const namespaces = await chooseNamespaces(options)
    try {
      const id = newId()
      const common = { ...options, files: undefined }
      const assembled = assemble({ id, owner, image, command: ['/'], options: common, namespaces })
      const parts = prepare(id, assembled)
      return parts && new RunTemplate(image, kept, parts)
    } finally {
      namespaces.close()
    }
  }

  fits(options: RunOptions): boolean {
    return this.#euid === process.geteuid?.() && sameOptions(this.#options, options)
  }

  start(
    command: readonly string[] | undefined,
    options: RunOptions,
    request: StartRequest,
    events: RunningEvents,
  ): StartedRun {
    const id = newId()
    const { config } = this.#image
    const args = commandLine(config, options.entrypoint, command)
    const hostname = this.#hostname.replace(this.#placeholder.slice(0, SHORT), id.slice(0, SHORT))
    const program = new Plan()
    execute(program, { args, env: programEnvironment(config, options, hostname) })
    let files: Plan | undefined
    if (options.files !== undefined) {
      files = new Plan()
      injectFiles(files, injectedFiles(options.files))
    }
    const records = program.notes.length + (files?.notes.length ?? 0)
    const running = new Running(
      {
        ...request,
        template: this.#native,
        id,
        appended: program.records(),
        inserted: files?.records(),
        records,
      },
      events,
    )
    const notes = () => {
      const common = this.#notes.map((note) => ({ ...note, subject: note.subject.replaceAll(this.#placeholder, id) }))
      const at = this.#filesRecord
      return [...common.slice(0, at), ...(files?.notes ?? []), ...common.slice(at), ...program.notes]
    }
    return { id, args, running, files: this.#files, notes }
  }
}

function prepare(id: string, { workload, cgroup }: { workload: Parameters<typeof lower>[0]; cgroup: CgroupPlan }) {
  const lowered = lower(workload, { template: true })
  const { plan, filesAt } = lowered
  const native = addon().template({
    plan: plan.finish(),
    placeholder: id,
    insertAt: filesAt?.at ?? 0,
    namespaces: lowered.cloneFlags,
    cgroup: nativeCgroup(cgroup),
    devices: workload.devices,
    prepare: cgroup.prepare,
    inheritedPaths: plan.inheritedPaths,
    newNetwork: plan.hasNewNetwork,
    ownPids: lowered.ownPids,
    killRest: true,
    collect: accountPaths(cgroup.files),
    cpuFile: cgroup.files.cpu,
    oomControl: cgroup.oomControl,
  })
  const hostname = workload.spec.hostname ?? ''
  return { id, native, hostname, notes: plan.notes, filesRecord: filesAt?.record ?? 0, files: cgroup.files }
}

const templates = new WeakMap<ImageRoot, RunTemplate[]>()

/** The template for a run; made when there is none yet. */
export async function templateFor(
  owner: Owner,
  image: ImageRoot,
  options: RunOptions,
): Promise<RunTemplate | undefined> {
  let list = templates.get(image)
  if (!list) {
    list = []
    templates.set(image, list)
  }
  const found = list.findIndex((template) => template.fits(options))
  if (found === 0) return list[0]
  checkContainerOptions(options)
  const template = found > 0 ? list.splice(found, 1)[0] : await RunTemplate.make(owner, image, options)
  if (template) list.unshift(template)
  list.length = Math.min(list.length, KEPT)
  return template
}

/**
 * User namespaces are made for each run, sources of mounts and device nodes may change between two, and files are not
 * for a mount namespace that is shared.
 */
function looksAtTheHost({ mounts = [], devices = [], namespaces, security }: RunOptions): boolean {
  return (
    mounts.some(({ type }) => type !== 'tmpfs') ||
    devices.length > 0 ||
    namespaces?.user !== undefined ||
    namespaces?.mnt !== undefined ||
    security?.userns !== undefined
  )
}

type Plain = string | number | boolean | null | undefined | Plain[] | { [name: string]: Plain }

function isPlain(value: object): boolean {
  const prototype = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

/** A copy of the options that count; undefined when they are not data alone. */
function relevant(options: RunOptions): { [name: string]: Plain } | undefined {
  const entries = Object.entries(options).filter(([name, value]) => value !== undefined && !OF_ONE_RUN.has(name))
  try {
    return copy(Object.fromEntries(entries)) as { [name: string]: Plain }
  } catch (error) {
    if (error instanceof NotPlain) return undefined
    throw error
  }
}

class NotPlain extends Error {}

function copy(value: unknown): Plain {
  if (typeof value === 'function' || typeof value === 'symbol' || typeof value === 'bigint') throw new NotPlain()
  if (typeof value !== 'object' || value === null) return value as Plain
  if (Array.isArray(value)) return value.map(copy)
  if (!isPlain(value)) throw new NotPlain()
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, copy(each)]))
}

function sameOptions(kept: Plain, options: RunOptions): boolean {
  const known = kept as { [name: string]: Plain }
  let left = Object.keys(known).length
  for (const name in options) {
    const value = options[name as keyof RunOptions]
    if (value === undefined || OF_ONE_RUN.has(name)) continue
    if (!Object.hasOwn(known, name) || !same(known[name], value)) return false
    left--
  }
  return left === 0
}

function same(a: Plain, b: unknown): boolean {
  if (typeof a !== 'object' || a === null || typeof b !== 'object' || b === null) return Object.is(a, b)
  if (Array.isArray(a))
    return Array.isArray(b) && a.length === b.length && a.every((each, i) => same(each, (b as unknown[])[i]))
  if (Array.isArray(b) || !isPlain(b)) return false
  const names = Object.keys(a)
  return (
    names.length === Object.keys(b).length &&
    names.every((name) => Object.hasOwn(b, name) && same(a[name], (b as Record<string, unknown>)[name]))
  )
}
