/** Containers that are kept: created, started, stopped, looked into, and removed by their owner. */
import { EventEmitter } from 'node:events'
import type { Agent, AgentOptions } from 'node:http'
import type { Socket } from 'node:net'
import path from 'node:path'
import type { Readable } from 'node:stream'
import { type CommitOptions, commitContainer } from './commit.js'
import { type ExecResult, Execution } from './execution.js'
import { forkContainer } from './fork.js'
import { Image } from './image.js'
import type { Change } from './layer/diff.js'
import type { NetworkDefinition } from './network/definition.js'
import { EgressNetwork } from './network/egress/network.js'
import type { EndpointOptions } from './network/endpoint.js'
import type { PublishedPort } from './network/ports.js'
import type { CreateOptions, ExecOptions, Limits, StopOptions } from './options.js'
import { ContainerAgent } from './runtime/container/agents.js'
import { type ArchiveSource, ContainerArchive, type PutArchiveOptions } from './runtime/container/archive.js'
import { Changes } from './runtime/container/changes.js'
import { type ConnectOptions, connectInside } from './runtime/container/connect.js'
import { joinNetwork, leaveNetwork, publishedPort } from './runtime/container/connections.js'
import { type ContainerStats, containerStatsEvery, statsSinceStart } from './runtime/container/container-stats.js'
import { Ending } from './runtime/container/ending.js'
import { execute } from './runtime/container/execute.js'
import type { ContainerFs } from './runtime/container/fs.js'
import type { Health } from './runtime/container/health.js'
import { type Connector, connector, httpAgent } from './runtime/container/http-agent.js'
import { type ContainerInspection, inspection, recorded } from './runtime/container/inspect.js'
import type { ContainerState, Life } from './runtime/container/life.js'
import {
  type AttachedStreams,
  type AttachOptions,
  type LiveStreams,
  requireStreams,
} from './runtime/container/live-streams.js'
import { checkLogOptions, type LogEntry, type LogOptions, readLog } from './runtime/container/log.js'
import { findContainer } from './runtime/container/lookup.js'
import { liveStreams, makeLife } from './runtime/container/make-life.js'
import { discardParts, makeParts, type Parts, partsOfBundle } from './runtime/container/parts.js'
import { type ProcessInfo, processesIn } from './runtime/container/processes.js'
import { type ContainerFilter, type ContainerInfo, listContainers, recordState } from './runtime/container/registry.js'
import { Standing } from './runtime/container/wrong-state.js'
import { checkUpdate } from './runtime/options/check.js'
import { Execs } from './runtime/process/exec.js'
import { checkSignal } from './runtime/process/verdict.js'
import { type Abortable, abortable, checkAborted, unlessAborted } from './util/abort.js'
import { type Duration, parseDuration } from './util/units.js'
import { type Wait, type WaitOptions, waitFor } from './wait.js'

/** Containers of this process, by id. */
const containers = new Map<string, Container>()

const STOP_GRACE = 10_000

export class Container extends EventEmitter implements AsyncDisposable {
  readonly id: string
  /** What it was made of: a reference, or an image's id. */
  readonly image: string
  readonly labels: Readonly<Record<string, string>>
  readonly created = new Date()
  readonly #parts: Parts
  readonly #life: Life
  readonly #agent: ContainerAgent
  readonly #execs: Execs
  readonly #archive: ContainerArchive
  readonly #standing: Standing
  readonly #changes: Changes
  readonly #ending: Ending
  readonly #live: LiveStreams | undefined
  #source: Image | undefined

  private constructor(parts: Parts) {
    super()
    this.#parts = parts
    this.id = parts.id
    this.image = parts.image
    const { options, assembled, imageConfig } = parts
    this.labels = { ...imageConfig.Labels, ...options.labels }
    if (parts.network instanceof EgressNetwork) parts.network.listener = (event) => this.emit('egress', event)
    this.#agent = new ContainerAgent(assembled.workload, () => this.#life, parts.data !== undefined)
    this.#archive = new ContainerArchive(this.#agent, assembled.workload, options.security?.privileged ?? false)
    this.#execs = new Execs({ ...assembled, owner: parts.owner })
    this.#live = liveStreams(parts, this.#logFile)
    this.#life = makeLife(parts, {
      emitter: this,
      execs: this.#execs,
      log: this.#logFile,
      live: this.#live,
      probe: async (command, timeout) => (await this.exec(command, { timeout })).exitCode === 0,
      beforeStart: () => this.#agent.release(),
      changed: () => void this.#record(),
    })
    this.#standing = new Standing(parts, this.#life)
    const whole = { parts, life: this.#life, execs: this.#execs, standing: this.#standing, agent: this.#agent }
    this.#changes = new Changes(whole)
    this.#ending = new Ending({
      ...whole,
      changes: this.#changes,
      resume: () => this.resume(),
      forget: () => containers.delete(this.id),
      removed: () => this.emit('remove'),
    })
  }

  /** Makes a container; nothing runs yet. */
  static async create(image: string | Image, options: CreateOptions = {}): Promise<Container> {
    checkAborted(options.signal, 'create')
    const resolved = await Image.resolve(image, options)
    const { config, id } = resolved
    const root = await resolved.rootfs(options.signal)
    const parts = await makeParts({ name: typeof image === 'string' ? image : id, id, root, config }, options)
    const container = await Container.#made(parts)
    container.#source = resolved
    return container
  }

  /**
   * A container from an OCI runtime bundle, as `runc create` makes one. Its root is used in place, hooks are run, and
   * only what config.json asks for is protected: its author decides.
   */
  static async fromBundle(directory: string, options: Abortable = {}): Promise<Container> {
    checkAborted(options.signal, 'create')
    return Container.#made(await partsOfBundle(directory))
  }

  static async #made(parts: Parts): Promise<Container> {
    try {
      const container = new Container(parts)
      await container.#record()
      containers.set(parts.id, container)
      return container
    } catch (error) {
      await discardParts(parts)
      throw error
    }
  }

  /** All containers of this machine's live processes; `all: false` leaves out those that do not run. */
  static list(filter?: ContainerFilter): Promise<ContainerInfo[]> {
    return listContainers(filter)
  }

  /** One of this process, by id, the beginning of an id, or name. */
  static async get(idOrName: string, options: Abortable = {}): Promise<Container> {
    checkAborted(options.signal, 'get')
    return findContainer(containers, idOrName)
  }

  get name(): string {
    return this.#parts.name
  }

  get state(): ContainerState {
    return this.#life.state
  }

  /** Process id of its PID 1 as this process sees it; null when it does not run. */
  get pid(): number | null {
    return this.#life.pid
  }

  /** It has ended, and its restart policy will start it again. */
  get restarting(): boolean {
    return this.#life.restarting
  }

  get health(): Health {
    return this.#life.health
  }

  get #logFile(): string {
    return path.join(this.#parts.run, 'log')
  }

  /** Resolves when its program runs. */
  async start(options: Abortable = {}): Promise<void> {
    this.#standing.mustExist('start')
    await this.#life.start(options.signal)
  }

  /** The result of the present run (of the last one when it has ended, of the next one before the first start). */
  wait(options: Abortable = {}): Promise<ExecResult> {
    return unlessAborted(this.#life.exit, options.signal, 'wait')
  }

  /** Sends its stop signal, waits, then kills. Resolves when it has ended. */
  async stop(options: StopOptions = {}): Promise<void> {
    this.#standing.mustExist('stop')
    checkAborted(options.signal, 'stop')
    const grace = parseDuration(options.timeout ?? this.#parts.options.stopTimeout ?? STOP_GRACE, 'timeout')
    await unlessAborted(this.#ending.stop(grace), options.signal, 'stop')
  }

  /** SIGKILL, the default, ends all that is in it. */
  async kill(signal: string | number = 'SIGKILL', options: Abortable = {}): Promise<void> {
    const number = checkSignal(signal, 'signal')
    this.#standing.mustRun('kill')
    checkAborted(options.signal, 'kill')
    this.#life.kill(number)
    // Who starts it is told why it does not run.
    const over = this.#life.exit.catch(() => undefined)
    if (number === 9) await unlessAborted(over, options.signal, 'kill')
  }

  async restart(options: StopOptions = {}): Promise<void> {
    await this.stop(options)
    await this.start(options)
    this.emit('restart')
  }

  /** Freezes every process in it. */
  async pause(options: Abortable = {}): Promise<void> {
    checkAborted(options.signal, 'pause')
    await this.#changes.freeze('pause')
    this.emit('pause')
  }

  async resume(options: Abortable = {}): Promise<void> {
    checkAborted(options.signal, 'resume')
    await this.#changes.freeze('resume')
    this.emit('resume')
  }

  /** A running one only with `force`; `volumes`: with its volumes that have no name. Removing twice is no error. */
  remove(options: { force?: boolean; volumes?: boolean; signal?: AbortSignal } = {}): Promise<void> {
    return abortable(options.signal, 'remove', () => this.#ending.remove(options))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.remove({ force: true, volumes: true })
  }

  /** Runs a program in the running container, as strict as the container itself. */
  exec(command: readonly string[], options: ExecOptions = {}): Execution {
    const wrongState = () => this.#standing.wrongState('exec')
    const inside = { parts: this.#parts, life: this.#life, execs: this.#execs, wrongState }
    return new Execution(async (request) => {
      while (this.#execs.shut) await this.#execs.shut
      this.#standing.mustRun('exec')
      return execute(inside, command, options, request)
    }, options)
  }

  /**
   * The streams of its program, of one made with `attachable`: of the present run, or of the next one. Several may attach;
   * all of them get the whole output from now on (`logs`: from the beginning of its log), and type at the same standard
   * input (`stdinOpen`).
   */
  attach(options: AttachOptions = {}): AttachedStreams {
    this.#standing.mustExist('attach')
    return requireStreams(this.#live, this.name, 'attach').attach(options)
  }

  /** Sets the size of its terminal, of one made with `attachable`. */
  resize(columns: number, rows: number): void {
    this.#standing.mustExist('resize')
    requireStreams(this.#live, this.name, 'resize').resize(columns, rows)
  }

  /** What it has printed, line by line. */
  logs(options: LogOptions = {}): AsyncGenerator<LogEntry, void, undefined> {
    this.#standing.mustExist('logs')
    return readLog(
      this.#logFile,
      checkLogOptions(options),
      () => this.#life.running === undefined && this.state !== 'created',
    )
  }

  /** Once, or with `interval` again and again while it runs. */
  stats(options?: Abortable & { interval?: undefined }): Promise<ContainerStats>
  stats(options: { interval: Duration; signal?: AbortSignal }): AsyncGenerator<ContainerStats, void, undefined>
  stats(
    options: Abortable & { interval?: Duration } = {},
  ): Promise<ContainerStats> | AsyncGenerator<ContainerStats, void, undefined> {
    const { interval, signal } = options
    if (interval !== undefined)
      return containerStatsEvery(parseDuration(interval, 'interval'), this.#parts, this.#life, signal)
    return abortable(signal, 'stats', async () => {
      this.#standing.mustRun('stats')
      return statsSinceStart(this.#parts, this.#life)
    })
  }

  /** Its processes. */
  async top(options: Abortable = {}): Promise<ProcessInfo[]> {
    this.#standing.mustRun('top')
    checkAborted(options.signal, 'top')
    const { cgroup, workload } = this.#parts.assembled
    return processesIn(cgroup, this.pid ?? 0, workload.sandbox !== undefined)
  }

  /** All that is known of it. */
  inspect(): ContainerInspection {
    return inspection({ ...this.#parts, created: this.created, labels: this.labels, log: this.#logFile }, this.#life)
  }

  /** Changes limits while it runs, or for its next start. */
  async update(changes: { limits: Limits; signal?: AbortSignal }): Promise<void> {
    this.#standing.mustExist('update')
    checkUpdate(changes)
    checkAborted(changes.signal, 'update')
    await this.#changes.update(changes.limits)
  }

  /** Another name, for this machine and its networks; its host name stays. Programs that run are not told. */
  async rename(name: string, options: Abortable = {}): Promise<void> {
    this.#standing.mustExist('rename')
    checkAborted(options.signal, 'rename')
    const before = await this.#changes.rename(name)
    await this.#record()
    this.emit('rename', name, before)
  }

  /** Resolves when the strategy says that it is ready; rejects when it ends before, or too late. */
  waitFor(strategy: Wait, options: WaitOptions = {}): Promise<void> {
    return waitFor(this, strategy, options)
  }

  /** Its files, while it runs and while it does not. */
  get fs(): ContainerFs {
    return this.#agent.fs
  }

  /**
   * Unpacks a tar archive (plain, gzip or zstd) into a directory of it, as PUT /containers/ID/archive of Docker: owners
   * are the numbers of the archive, what is there is replaced, and links on the way stay inside the container. Device
   * nodes are refused unless the container is privileged. What was unpacked before a failure stays.
   */
  async putArchive(path: string, tar: ArchiveSource, options: PutArchiveOptions = {}): Promise<void> {
    this.#standing.mustExist('putArchive')
    await this.#archive.put(path, tar, options)
  }

  /**
   * A tar archive of a file or directory of it, which is named by the last part of the path, as GET
   * /containers/ID/archive of Docker. A link is packed as a link; with `/` behind the path the directory that it leads
   * to, with `/.` what is in that. A failure destroys the stream.
   *
   * @param options `fewHoles`: holes of files are zeros in an archive; more than 1 GiB of them is an error, for who keeps it.
   */
  getArchive(path: string, options: Abortable & { fewHoles?: boolean } = {}): Readable {
    this.#standing.mustExist('getArchive')
    return this.#archive.get(path, options)
  }

  /**
   * What differs from its image, sorted by path, as `docker diff`: a directory is modified when something in it is. What
   * is mounted in it does not count.
   */
  async diff(options: Abortable = {}): Promise<Change[]> {
    this.#standing.mustExist('diff')
    checkAborted(options.signal, 'diff')
    return this.#archive.diff(options)
  }

  /** An image of it: what it changed, as a layer above those of its image. What is mounted in it does not count. */
  async commit(options: CommitOptions = {}): Promise<Image> {
    this.#standing.mustExist('commit')
    checkAborted(options.signal, 'commit')
    return commitContainer(this, this.#committed, options)
  }

  /**
   * Containers that begin with its files as they are now, and its options; they run if it does. Their names and the ports
   * of the host are new ones. Processes are not copied.
   */
  async fork(count = 1, options: Abortable = {}): Promise<Container[]> {
    this.#standing.mustExist('fork')
    checkAborted(options.signal, 'fork')
    return forkContainer(this, this.#committed, count, Container.create, options.signal)
  }

  /** A TCP connection to a port inside it; nothing needs to be published. */
  async connect(port: number, options: ConnectOptions = {}): Promise<Socket> {
    this.#standing.mustRun('connect')
    return connectInside(this.#agent, port, options)
  }

  /**
   * An agent for http.request() whose connections are those of connect(); of the URL only the port matters. With
   * undici: `new Agent({ connect: container.connector() })`.
   */
  httpAgent(options: AgentOptions = {}): Agent {
    return httpAgent((port) => this.connect(port), options)
  }

  connector(): Connector {
    return connector((port) => this.connect(port))
  }

  /** Of Network.connect(). */
  async joinNetwork(network: NetworkDefinition, options: EndpointOptions): Promise<void> {
    this.#standing.mustExist('connect')
    await joinNetwork(this.#parts, this.pid, network, options)
  }

  /** Of Network.disconnect(). */
  async leaveNetwork(network: NetworkDefinition): Promise<void> {
    this.#standing.mustExist('disconnect')
    await leaveNetwork(this.#parts, network)
  }

  /** Where a port of it is published, while it runs. */
  port(container: number, protocol: 'tcp' | 'udp' = 'tcp'): PublishedPort {
    return publishedPort(this.#parts, container, protocol)
  }

  get #committed() {
    return { parts: this.#parts, archive: this.#archive, labels: this.labels, source: this.#source }
  }

  async #record(): Promise<void> {
    // Its directory may be about to go.
    if (this.state === 'removed') return
    await recordState(this.#parts, this, recorded(this.#parts, this.#life)).catch(() => undefined)
  }
}

/** Of any copy of this module. */
export function isContainer(value: unknown): value is Container {
  return typeof value === 'object' && value !== null && 'joinNetwork' in value
}
