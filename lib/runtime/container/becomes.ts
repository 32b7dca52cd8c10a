/** Waiting for what a dependency has to be. */
import type { Condition } from '../../compose/relations.js'
import type { Container } from '../../container.js'
import { CaissonError } from '../../errors.js'

const INTERVAL = 250

/** Rejects when it cannot come to that any more, or the caller gives up. */
export function becomes(container: Container, condition: Condition, signal: AbortSignal): Promise<void> {
  if (condition === 'service_started') return Promise.resolve()
  const look = condition === 'service_healthy' ? health : completion
  return new Promise((resolve, reject) => {
    // Also keeps the event loop going, which containers do not; and not every change has an event.
    const timer = setInterval(() => check(), INTERVAL)
    const leave = () => {
      clearInterval(timer)
      container.off('health', check).off('exit', later).off('remove', check)
      signal.removeEventListener('abort', stop)
    }
    const stop = () => {
      leave()
      reject(signal.reason)
    }
    const check = () => {
      const outcome = look(container)
      if (outcome === undefined) return
      leave()
      if (outcome === true) resolve()
      else reject(outcome)
    }
    // Its state changes just behind the event.
    const later = () => setImmediate(check)
    container.on('health', check).on('exit', later).on('remove', check)
    signal.addEventListener('abort', stop)
    if (signal.aborted) stop()
    else check()
  })
}

/** true: it is; undefined: not yet. */
function health(container: Container): true | undefined | CaissonError {
  const { state, health, restarting } = container
  if (health === 'healthy') return true
  if (health === 'unhealthy')
    return failed(container, 'it is unhealthy', 'See its logs, and what its healthcheck says.')
  if (state === 'running' && health === 'none')
    return failed(container, 'it has no health check', 'Give it a healthcheck, or wait for service_started.')
  if ((state === 'exited' && !restarting) || state === 'removed')
    return failed(container, 'it has ended before it was healthy', 'See its logs.')
  return undefined
}

function completion(container: Container): true | undefined | CaissonError {
  const { state, restarting } = container
  if (state === 'removed') return failed(container, 'it was removed', 'Start it again.')
  if (state !== 'exited' || restarting) return undefined
  const { exitCode, reason } = container.inspect().state
  if (exitCode === 0) return true
  return failed(container, `it exited with ${exitCode}${reason === 'exit' ? '' : ` (${reason})`}`, 'See its logs.')
}

function failed({ name }: Container, why: string, hint: string): CaissonError {
  return new CaissonError('ERR_CAISSON_DEPENDENCY', `${name}: ${why}`, { stage: 'dependencies', hint })
}
