/** POST /containers/ID/wait: the headers at once, and the exit code when there is one. */
import { once } from 'node:events'
import type { Container } from '../container.js'
import type { Call } from './call.js'
import { badRequest } from './failure.js'
import type { Kept } from './state.js'

const CONDITIONS = ['not-running', 'next-exit', 'removed'] as const
type Condition = (typeof CONDITIONS)[number]

export async function waitContainer(call: Call): Promise<void> {
  const kept = await call.state.find(call.parameter('id'))
  const condition = (call.text('condition') ?? 'not-running') as Condition
  if (!CONDITIONS.includes(condition)) throw badRequest(`invalid condition: "${condition.slice(0, 100)}"`)
  const happened = happening(kept, condition, call.gone)
  // A client that will start it waits for these, to be sure that it misses nothing.
  call.response.writeHead(200, { 'Content-Type': 'application/json' })
  call.response.flushHeaders()
  await happened
  if (call.gone.aborted) return
  call.response.end(`${JSON.stringify({ StatusCode: kept.exitCode ?? 0 })}\n`)
}

async function happening({ container }: Kept, condition: Condition, signal: AbortSignal): Promise<void> {
  const runs = container.state === 'running' || container.state === 'paused'
  if (condition === 'not-running' && !runs && !container.restarting) return
  await told(container, condition === 'removed' ? 'remove' : 'exit', signal)
}

/** Also where it is removed before: then there will be no end. */
async function told(container: Container, event: 'exit' | 'remove', signal: AbortSignal): Promise<void> {
  const over = new AbortController()
  const options = { signal: AbortSignal.any([signal, over.signal]) }
  await Promise.race([once(container, event, options), once(container, 'remove', options)]).catch(() => undefined)
  over.abort()
}
