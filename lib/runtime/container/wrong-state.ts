/** What is not possible in the state that a container is in. */
import { CaissonError } from '../../errors.js'
import type { ContainerState, Life } from './life.js'

const HINTS: Record<ContainerState, string> = {
  created: 'Call start() first.',
  running: 'Nothing needs to be done: it runs.',
  paused: 'Call resume() first.',
  exited: 'Call start() to run it again.',
  removed: 'Create a new container.',
}

/** `what`: the call. `removing`: it is on its way out. */
export function wrongState(what: string, name: string, state: ContainerState, removing = false): CaissonError {
  return new CaissonError('ERR_CAISSON_INVALID_STATE', `${what}: ${name} is ${state}`, {
    stage: what,
    hint: HINTS[removing ? 'removed' : state],
  })
}

/** Whether a container can be asked for something now. */
export class Standing {
  /** It is on its way out. */
  removing = false
  readonly #container: { readonly name: string }
  readonly #life: Pick<Life, 'running' | 'state'>

  constructor(container: { readonly name: string }, life: Pick<Life, 'running' | 'state'>) {
    this.#container = container
    this.#life = life
  }

  mustExist(what: string): void {
    if (this.#life.state === 'removed' || this.removing) throw this.wrongState(what)
  }

  mustRun(what: string): void {
    if (!this.#life.running || this.removing) throw this.wrongState(what)
    if (this.#life.state === 'paused' && what === 'exec') throw this.wrongState(what)
  }

  /** The error of `what`, which cannot be done. */
  wrongState(what: string): CaissonError {
    return wrongState(what, this.#container.name, this.#life.state, this.removing)
  }
}
