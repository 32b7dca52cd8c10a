/** Containers that share their network and their IPC objects, and live and die together: what Kubernetes calls a pod. */
import { EventEmitter } from 'node:events'
import { fstatSync } from 'node:fs'
import { Container } from './container.js'
import { CaissonError, invalidArgument } from './errors.js'
import type { ExecResult } from './execution.js'
import type { Image } from './image.js'
import { Namespace } from './namespace.js'
import type { PublishedPort } from './network/ports.js'
import type { ContainerOptions, CreateOptions } from './options.js'
import {
  attach,
  type ContainerNetwork,
  isBridged,
  releaseAttachment,
  startAttachment,
} from './runtime/container/attachments.js'
import { becomes } from './runtime/container/becomes.js'
import { publishedPort } from './runtime/container/connections.js'
import { checkEgress } from './runtime/options/egress.js'
import { owner } from './runtime/process/owner.js'
import { type Abortable, abortable, checkAborted, unlessAborted } from './util/abort.js'
import { newId, randomName } from './util/ids.js'
import { checkNames, type Names } from './util/option-names.js'
import { type Duration, parseDuration } from './util/units.js'

/** What all share is said for the group: network, ports and the two namespaces. */
export interface GroupMember
  extends Omit<CreateOptions, 'network' | 'networks' | 'ports' | 'restart' | 'dns' | 'egress'> {
  image: string | Image
}

export interface GroupOptions
  extends Pick<ContainerOptions, 'network' | 'networks' | 'ports' | 'dns' | 'egress' | 'signal'> {
  /** Also its name on the network. Default: two words. */
  name?: string
  /** In the order of their start; by name, or with a name or without. */
  containers: readonly GroupMember[] | Readonly<Record<string, GroupMember>>
}

/** The end of a group: which member ended first, and how. */
export interface GroupEnd {
  container: Container
  result: ExecResult
}

const SHARED = ['network', 'networks', 'ports', 'restart', 'dns', 'egress'] as const
const OPTIONS: Names<GroupOptions> = {
  name: true,
  containers: true,
  network: true,
  networks: true,
  ports: true,
  dns: true,
  egress: true,
  signal: true,
}
/** addon/core/network/wiring.cc: where the resolver of a network answers. */
const RESOLVER = '127.0.0.11'

export class Group extends EventEmitter implements AsyncDisposable {
  readonly name: string
  readonly containers: readonly Container[]
  readonly #release: () => Promise<void>
  readonly #network: ContainerNetwork | undefined
  #state: 'created' | 'running' | 'exited' | 'removed' = 'created'
  #work: Promise<unknown> = Promise.resolve()
  #end: Promise<GroupEnd> | undefined
  #stopping = false

  private constructor(
    name: string,
    containers: readonly Container[],
    network: ContainerNetwork | undefined,
    release: () => Promise<void>,
  ) {
    super()
    this.name = name
    this.containers = containers
    this.#network = network
    this.#release = release
  }

  /** Makes them; nothing runs yet. */
  static async create(options: GroupOptions): Promise<Group> {
    const members = membersOf(options)
    checkAborted(options.signal, 'group')
    const { name = randomName(), network, networks, ports, dns, egress } = options
    if (network === 'host' || (typeof network === 'object' && !isBridged({ network })))
      throw invalidArgument('network', network, 'possible for a group, which has a network namespace of its own')
    if (egress !== undefined) {
      checkEgress({ network, networks, ports, egress })
      for (const [, { namespaces, security }] of members) checkEgress({ namespaces, security })
    }
    const holder = await owner()
    const id = newId()
    const undo: Array<() => unknown> = []
    const release = async () => {
      for (const step of undo.splice(0).reverse()) await step()
    }
    try {
      const ipc = await Namespace.create('ipc')
      undo.push(() => ipc.dispose())
      const attachment = await attach({ network, networks, ports, dns, egress }, holder, { id, name })
      if (attachment) {
        undo.push(() => releaseAttachment(id))
        const user = holder.ordinary?.user
        await startAttachment(attachment, user && { join: [{ type: 'user', inUser: false, handle: user }] })
      }
      const alone = attachment ? undefined : await Namespace.create('net', { loopback: true })
      if (alone) undo.push(() => alone.dispose())
      const net = alone ?? { type: 'net' as const, inode: fstatSync(attachment?.fd as number).ino, fd: attachment?.fd }
      const containers: Container[] = []
      for (const [called, { image, ...member }] of members) {
        const container = await Container.create(image, {
          signal: options.signal,
          ...member,
          name: called,
          dns: attachment ? [RESOLVER] : dns,
          namespaces: { ...member.namespaces, net: net as Namespace, ipc },
        })
        undo.push(() => container.remove({ force: true, volumes: true }))
        containers.push(container)
      }
      return new Group(name, containers, attachment, release)
    } catch (error) {
      await release()
      throw error
    }
  }

  get state(): 'created' | 'running' | 'exited' | 'removed' {
    return this.#state
  }

  /** Where a port of it is published, as long as it is there. */
  port(container: number, protocol: 'tcp' | 'udp' = 'tcp'): PublishedPort {
    return publishedPort({ name: this.name, network: this.#network }, container, protocol)
  }

  /** One of them by its name. */
  get(name: string): Container {
    const found = this.containers.find((container) => container.name === name)
    if (found) return found
    throw new CaissonError('ERR_CAISSON_CONTAINER_NOT_FOUND', `the group ${this.name} has no container ${name}`, {
      stage: 'group',
      hint: `It has ${this.containers.map((container) => container.name).join(', ')}.`,
    })
  }

  /**
   * One after the other; behind one with a health check the next one starts when that is healthy. When one cannot be
   * started or becomes unhealthy, all are stopped.
   */
  start(options: Abortable = {}): Promise<void> {
    return this.#alone(async () => {
      if (this.#state === 'removed' || this.#state === 'running')
        throw new CaissonError('ERR_CAISSON_INVALID_STATE', `start: the group ${this.name} is ${this.#state}`, {
          stage: 'group',
          hint: this.#state === 'running' ? 'Call stop() first to start it anew.' : 'Create a new group.',
        })
      const failure = new AbortController()
      const giveUp = () => failure.abort(aborted(this.name))
      options.signal?.addEventListener('abort', giveUp)
      if (options.signal?.aborted) giveUp()
      this.#stopping = false
      this.#state = 'running'
      let ended: (end: GroupEnd) => void = () => undefined
      this.#end = new Promise((resolve) => {
        ended = resolve
      })
      try {
        for (const container of this.containers) {
          failure.signal.throwIfAborted()
          await container.start()
          void container.wait().then((result) => {
            ended({ container, result })
            failure.abort(endedEarly(container, result))
            this.#over({ container, result })
          })
          if (container.health !== 'none') await becomes(container, 'service_healthy', failure.signal)
        }
      } catch (error) {
        await this.#stopAll(0)
        throw error
      } finally {
        options.signal?.removeEventListener('abort', giveUp)
      }
    })
  }

  /** The first of its containers that ends, which ends the others too. */
  wait(options: Abortable = {}): Promise<GroupEnd> {
    if (this.#end) return unlessAborted(this.#end, options.signal, 'wait')
    return Promise.reject(
      new CaissonError('ERR_CAISSON_INVALID_STATE', `wait: the group ${this.name} was not started`, {
        stage: 'group',
        hint: 'Call start() first.',
      }),
    )
  }

  /** In the opposite order; each is asked, and killed after a while. */
  stop(options: Abortable & { timeout?: Duration } = {}): Promise<void> {
    const timeout = options.timeout === undefined ? undefined : parseDuration(options.timeout, 'timeout')
    return abortable(options.signal, 'stop', () => this.#alone(() => this.#stopAll(timeout)))
  }

  /** Stops and removes them, with their volumes that have no name. Removing twice is no error. */
  remove(options: Abortable = {}): Promise<void> {
    return abortable(options.signal, 'remove', () =>
      this.#alone(async () => {
        if (this.#state === 'removed') return
        this.#stopping = true
        await this.#release()
        this.#state = 'removed'
        this.emit('remove')
      }),
    )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.remove()
  }

  #alone<T>(work: () => Promise<T>): Promise<T> {
    const next = this.#work.then(work)
    this.#work = next.catch(() => undefined)
    return next
  }

  async #stopAll(timeout: number | undefined): Promise<void> {
    this.#stopping = true
    for (const container of [...this.containers].reverse())
      if (container.state === 'running' || container.state === 'paused')
        await container.stop(timeout === undefined ? {} : { timeout })
    if (this.#state === 'running') this.#state = 'exited'
  }

  /** One has ended by itself. */
  #over(end: GroupEnd): void {
    if (this.#stopping) return
    this.#stopping = true
    void this.#alone(() => this.#stopAll(undefined)).then(
      () => this.emit('exit', end),
      (error) => process.emitWarning(error),
    )
  }
}

function membersOf(options: GroupOptions): Array<[name: string | undefined, member: GroupMember]> {
  checkNames(options ?? {}, OPTIONS, '')
  const { containers } = options ?? {}
  const list: Array<[string | undefined, GroupMember]> = Array.isArray(containers)
    ? containers.map((member: GroupMember) => [member?.name, member])
    : Object.entries(typeof containers === 'object' && containers !== null ? containers : {})
  if (list.length === 0) throw invalidArgument('containers', containers, 'a list of containers, with one at least')
  for (const [i, [, member]] of list.entries()) {
    if (typeof member !== 'object' || member === null) throw invalidArgument(`containers[${i}]`, member, 'an object')
    for (const key of SHARED)
      if (key in member)
        throw new CaissonError('ERR_CAISSON_INVALID_ARGUMENT', `containers[${i}].${key}: members of a group share it`, {
          stage: 'options',
          hint: key === 'restart' ? 'A group ends with its first member.' : `Give ${key} to the group.`,
        })
    for (const type of ['net', 'ipc'] as const)
      if (member.namespaces?.[type] !== undefined)
        throw invalidArgument(`containers[${i}].namespaces.${type}`, member.namespaces[type], 'for a member of a group')
  }
  return list
}

function aborted(name: string): CaissonError {
  return new CaissonError('ERR_CAISSON_ABORTED', `the start of the group ${name} was aborted`, {
    stage: 'group',
    hint: 'The signal that was given fired; its containers were stopped.',
  })
}

function endedEarly({ name }: Container, { exitCode, signal }: ExecResult): CaissonError {
  return new CaissonError('ERR_CAISSON_DEPENDENCY', `${name} ended while the group started (${exitCode ?? signal})`, {
    stage: 'group',
    hint: 'See its logs; a group ends with its first member.',
  })
}
