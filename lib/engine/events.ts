/** What happens, as GET /events tells it: the latest of it is remembered, for `since`. */
import { EventEmitter, on } from 'node:events'
import type { Container } from '../container.js'
import type { ExecResult } from '../execution.js'

export interface EngineEvent {
  status: string
  id: string
  from?: string
  Type: 'container' | 'image' | 'network' | 'volume'
  Action: string
  Actor: { ID: string; Attributes: Record<string, string> }
  scope: 'local'
  /** Seconds. */
  time: number
  timeNano: number
}

/** As many as dockerd remembers. */
const REMEMBERED = 256

export class Events {
  readonly #emitter = new EventEmitter().setMaxListeners(0)
  readonly #past: EngineEvent[] = []

  get past(): readonly EngineEvent[] {
    return this.#past
  }

  tell(
    type: EngineEvent['Type'],
    action: string,
    id: string,
    attributes: Record<string, string> = {},
    from?: string,
  ): void {
    const now = Date.now()
    const event: EngineEvent = {
      status: action,
      id,
      ...(from === undefined ? {} : { from }),
      Type: type,
      Action: action,
      Actor: { ID: id, Attributes: attributes },
      scope: 'local',
      time: Math.floor(now / 1000),
      timeNano: now * 1e6,
    }
    this.#past.push(event)
    if (this.#past.length > REMEMBERED) this.#past.shift()
    this.#emitter.emit('event', event)
  }

  /** What comes, until the signal fires. */
  async *coming(signal: AbortSignal): AsyncGenerator<EngineEvent, void, undefined> {
    try {
      for await (const [event] of on(this.#emitter, 'event', { signal })) yield event as EngineEvent
    } catch (error) {
      if (!signal.aborted) throw error
    }
  }

  follow(container: Container): void {
    const { id, image, labels } = container
    const tell = (action: string, more: Record<string, string> = {}) =>
      this.tell('container', action, id, { ...labels, image, name: container.name, ...more }, image)
    container.on('start', () => tell('start'))
    container.on('exit', (result: ExecResult) =>
      tell('die', { exitCode: String(container.inspect().state.exitCode ?? result.exitCode ?? 137) }),
    )
    container.on('oom', () => tell('oom'))
    container.on('pause', () => tell('pause'))
    container.on('resume', () => tell('unpause'))
    container.on('restart', () => tell('restart'))
    container.on('rename', (_: string, before: string) => tell('rename', { oldName: `/${before}` }))
    container.on('health', (status: string) => tell(`health_status: ${status}`))
    container.once('remove', () => tell('destroy'))
  }
}
