/** What is not possible in the state that a container is in. */
import { CaissonError } from '../../errors.js'
import type { ContainerState } from './life.js'

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

export function stillRuns(name: string, state: ContainerState): CaissonError {
  return new CaissonError('ERR_CAISSON_INVALID_STATE', `${name} is ${state}`, {
    stage: 'remove',
    hint: 'Stop it first, or remove it with { force: true }.',
  })
}
