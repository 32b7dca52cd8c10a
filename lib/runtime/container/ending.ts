/** How a container is stopped, and how all of it goes. */
import { CaissonError } from '../../errors.js'
import type { ContainerAgent } from './agents.js'
import type { Changes } from './changes.js'
import type { Life } from './life.js'
import { discardParts, type Parts } from './parts.js'
import type { Standing } from './wrong-state.js'

export interface Endable {
  parts: Parts
  life: Life
  standing: Standing
  changes: Changes
  agent: ContainerAgent
  resume(): Promise<void>
  /** Its processes have ended; nobody may find it any more. */
  forget(): void
  removed(): void
}

export class Ending {
  readonly #container: Endable
  #removing: Promise<void> | undefined

  constructor(container: Endable) {
    this.#container = container
  }

  /** `grace`: milliseconds between its stop signal and SIGKILL. */
  async stop(grace: number): Promise<void> {
    const { life, changes, resume } = this.#container
    await life.settled()
    // What is about to be frozen would not hear of it.
    await changes.settled()
    // Whoever has ended it by now has done the same.
    if (life.state === 'paused')
      await resume().catch((error) => {
        if (life.state === 'paused') throw error
      })
    await life.stop(grace)
  }

  /** Once, however often it is asked for. What could not be removed can be tried again. */
  remove({ force, volumes = false }: { force?: boolean; volumes?: boolean }): Promise<void> {
    if (this.#removing) return this.#removing
    const { life, standing, parts } = this.#container
    const running = life.state === 'running' || life.state === 'paused'
    if (running && !force)
      return Promise.reject(
        new CaissonError('ERR_CAISSON_INVALID_STATE', `${parts.name} is ${life.state}`, {
          stage: 'remove',
          hint: 'Stop it first, or remove it with { force: true }.',
        }),
      )
    standing.removing = true
    const removing = this.#remove(volumes)
    this.#removing = removing
    removing.catch(() => {
      standing.removing = false
      this.#removing = undefined
    })
    return removing
  }

  async #remove(volumes: boolean): Promise<void> {
    const { parts, life, changes, agent, forget, removed } = this.#container
    await life.settled()
    life.kill(9)
    if (life.running) await life.exit
    life.removed()
    await changes.named()
    await agent.end()
    forget()
    await discardParts(parts, volumes)
    const { hooks } = parts
    await hooks?.run(hooks.poststop, 'poststop', 'stopped', 0).catch((error) => process.emitWarning(error))
    removed()
  }
}
