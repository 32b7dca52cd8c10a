/** A container is frozen, thawed, renamed and given other limits: each of these one after the other. */
import { freeze } from '../../cgroup/freezer.js'
import type { Limits } from '../../options.js'
import type { Execs } from '../process/exec.js'
import { type ContainerState, isOver, type Life } from './life.js'
import type { Parts } from './parts.js'
import { renameParts } from './rename.js'
import { updateLimits } from './update-limits.js'
import type { Standing } from './wrong-state.js'

export interface Changeable {
  parts: Parts
  life: Life
  execs: Execs
  standing: Standing
}

const STATES = { pause: ['running', 'paused'], resume: ['paused', 'running'] } as const satisfies Record<
  string,
  readonly [from: ContainerState, to: ContainerState]
>

export class Changes {
  readonly #container: Changeable
  #updates: Promise<void> = Promise.resolve()
  #freezing: Promise<void> = Promise.resolve()
  #naming: Promise<void> = Promise.resolve()

  constructor(container: Changeable) {
    this.#container = container
  }

  freeze(what: keyof typeof STATES): Promise<void> {
    return this.#whileNobodyFreezes(() => this.#freeze(what))
  }

  /** Gives the name that it had. */
  async rename(name: string): Promise<string> {
    const { parts, standing } = this.#container
    let before = ''
    const done = this.named().then(async () => {
      if (standing.removing) throw standing.wrongState('rename')
      before = parts.name
      await renameParts(parts, name)
    })
    this.#naming = done
    await done
    return before
  }

  /** Waits for a name that it is given just now. */
  async named(): Promise<void> {
    await this.#naming.catch(() => undefined)
  }

  /** Waits for what freezes or thaws it just now. */
  async settled(): Promise<void> {
    await this.#freezing.catch(() => undefined)
  }

  /** Two could make the same cgroup. */
  async update(limits: Limits): Promise<void> {
    const { life } = this.#container
    const before = this.#updates
    this.#updates = (async () => {
      await before.catch(() => undefined)
      await life.settled()
      await this.#update(limits)
    })()
    await this.#updates
  }

  async #update(limits: Limits): Promise<void> {
    const { parts, life, execs, standing } = this.#container
    const { running } = life
    try {
      await updateLimits(parts, limits, running, execs, (work) => this.#whileNobodyFreezes(work))
    } catch (error) {
      if (!running || !(await isOver(life, running))) throw error
      if (standing.removing) throw standing.wrongState('update')
      // It has ended meanwhile: then they are for its next start.
      await life.settled()
      await this.#update(limits)
    }
  }

  /** Limits that come late freeze it for a moment, and thaw what was not frozen before. */
  #whileNobodyFreezes(work: () => Promise<void>): Promise<void> {
    const done = this.#freezing.catch(() => undefined).then(work)
    this.#freezing = done
    return done
  }

  async #freeze(what: keyof typeof STATES): Promise<void> {
    const { parts, life, standing } = this.#container
    const [from, to] = STATES[what]
    const { running } = life
    if (life.state !== from || standing.removing) throw standing.wrongState(what)
    const { cgroup } = parts.assembled
    await freeze(cgroup, to === 'paused').catch(async (error) => {
      if (!running || (await isOver(life, running))) throw standing.wrongState(what)
      throw error
    })
    // What has ended meanwhile, or was started again, is not what was frozen.
    if (life.state !== from || life.running !== running) throw standing.wrongState(what)
    life.setState(to)
  }
}
