/** Templates of runs, by image and options. */
import os from 'node:os'
import type { RunOptions } from '../../options.js'
import { newId } from '../../util/ids.js'
import { isBridged } from '../container/attachments.js'
import { lower } from '../lower/lower.js'
import { Plan } from '../lower/plan.js'
import { execute, injectFiles } from '../lower/program.js'
import { lowerRoom } from '../lower/room.js'
import { assemble, type ImageRoot, injectedFiles } from '../options/assemble.js'
import { ownNamespaces } from '../options/choose-namespaces.js'
import { commandLine, programEnvironment } from '../options/process.js'
import { copyOptions, type Plain, sameOptions } from '../options/same.js'
import type { Owner } from './owner.js'
import type { RunningEvents } from './running.js'
import { checkCounted, type StartRequest } from './start.js'
import { type Started, Template } from './template.js'

/** Digits of an id that make a host name. */
const SHORT = 12
/** Templates that an image keeps: the latest. */
const KEPT = 16

/** Options that no template depends on: of the program alone, or of the caller's own. */
const OF_ONE_RUN = new Set<string>([
  ...['env', 'files', 'input', 'timeout', 'cpuTimeout', 'maxOutput', 'signal', 'throwOnError', 'name', 'labels'],
])

export interface StartedRun extends Started {
  id: string
  args: string[]
}

class RunTemplate {
  readonly #owner: Owner
  readonly #image: ImageRoot
  readonly #options: { [name: string]: Plain }
  readonly #euid = process.geteuid?.()
  readonly #template: Template
  readonly #placeholder: string
  readonly #hostname: string

  private constructor(owner: Owner, image: ImageRoot, options: RunOptions, kept: { [name: string]: Plain }) {
    const id = newId()
    const common = { ...options, files: undefined }
    const namespaces = ownNamespaces(options, owner.ordinary)
    const copied = owner.isolation.layers === 'copy'
    const input = { id, owner, image, command: ['/'], options: common, namespaces, copied }
    const { workload, cgroup } = assemble(input)
    this.#owner = owner
    this.#image = image
    this.#options = kept
    this.#placeholder = id
    this.#hostname = workload.spec.hostname ?? os.hostname()
    const lowered = lower(workload, { template: true })
    const more = { devices: workload.devices, killRest: true }
    this.#template = new Template(id, lowered, cgroup, more, lowerRoom(workload))
  }

  /** undefined: these options hold what cannot be used twice, or must be looked at each time. */
  static make(owner: Owner, image: ImageRoot, options: RunOptions): RunTemplate | undefined {
    const kept = copyOptions(options, OF_ONE_RUN)
    // There each container has a user namespace of its own.
    const apart = owner.isolation.proc === 'outer' && owner.ordinary !== undefined
    if (kept === undefined || apart || looksAtTheHost(options)) return undefined
    return new RunTemplate(owner, image, options, kept)
  }

  fits(options: RunOptions): boolean {
    return this.#euid === process.geteuid?.() && sameOptions(this.#options, options, OF_ONE_RUN)
  }

  start(
    command: readonly string[] | undefined,
    options: RunOptions,
    request: StartRequest,
    events: RunningEvents,
  ): StartedRun {
    const { config } = this.#image
    const args = commandLine(config, options.entrypoint, command)
    const injected = options.files === undefined ? undefined : injectedFiles(options.files)
    checkCounted(request, this.#template, this.#owner.cgroups)
    const taken = this.#template.newId()
    try {
      const { id } = taken
      const hostname = this.#hostname.replace(this.#placeholder.slice(0, SHORT), id.slice(0, SHORT))
      const execution = new Plan()
      execute(execution, { args, env: programEnvironment(config, options, hostname) })
      let files: Plan | undefined
      if (injected) {
        files = new Plan()
        injectFiles(files, injected)
      }
      return { id, args, ...this.#template.start({ ...taken, execution, files }, request, events) }
    } catch (error) {
      this.#template.giveBack(taken)
      throw error
    }
  }
}

const templates = new WeakMap<ImageRoot, RunTemplate[]>()

/** The template for a run; made when there is none yet. */
export function templateFor(owner: Owner, image: ImageRoot, options: RunOptions): RunTemplate | undefined {
  let list = templates.get(image)
  if (!list) {
    list = []
    templates.set(image, list)
  }
  const found = list.findIndex((template) => template.fits(options))
  if (found === 0) return list[0]
  const template = found > 0 ? list.splice(found, 1)[0] : RunTemplate.make(owner, image, options)
  if (template) list.unshift(template)
  list.length = Math.min(list.length, KEPT)
  return template
}

/**
 * Networks and user namespaces are made for each run, sources of mounts and device nodes may change between two, and files are not
 * for a mount namespace that is shared.
 */
function looksAtTheHost(options: RunOptions): boolean {
  const { mounts = [], devices = [], namespaces, security } = options
  return (
    isBridged(options) ||
    options.egress !== undefined ||
    (options.ports?.length ?? 0) > 0 ||
    Boolean(options.publishAllPorts) ||
    mounts.some(({ type }) => type !== 'tmpfs') ||
    devices.length > 0 ||
    namespaces?.user !== undefined ||
    namespaces?.mnt !== undefined ||
    security?.userns !== undefined
  )
}
