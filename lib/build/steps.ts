/** Tells of steps as they begin and end. */
import { monotonicMs } from '../util/monotonic.js'
import type { StagePlan, Step } from './dockerfile/plan-types.js'
import type { BuildEvent, BuildStepEvent } from './options.js'

export interface ToldStep {
  id: number
  end(status: 'cached' | 'done'): void
  fail(error: unknown): void
}

export class Steps {
  readonly #tell: (event: BuildEvent) => void
  readonly #platform: string | undefined
  readonly #count: { last: number }

  constructor(tell: (event: BuildEvent) => void, platform?: string, count = { last: 0 }) {
    this.#tell = tell
    this.#platform = platform
    this.#count = count
  }

  /** Those of one platform of several, counted with the others. */
  of(platform: string | undefined): Steps {
    return new Steps(this.#tell, platform, this.#count)
  }

  begin(stage: StagePlan, { title, span }: Step, index: number): ToldStep {
    const id = ++this.#count.last
    const began = monotonicMs()
    const event = {
      type: 'step',
      step: id,
      stage: this.#platform === undefined ? stage.name : `${this.#platform} ${stage.name}`,
      index: index + 1,
      count: stage.steps.length,
      title,
      line: span.start.line,
    } as const satisfies Partial<BuildStepEvent>
    this.#tell({ ...event, status: 'started' })
    const durationMs = () => monotonicMs() - began
    return {
      id,
      end: (status) => this.#tell({ ...event, status, durationMs: durationMs() }),
      fail: (error) =>
        this.#tell({
          ...event,
          status: 'failed',
          durationMs: durationMs(),
          error: error instanceof Error ? error.message : String(error),
        }),
    }
  }

  output(step: number, stream: 'stdout' | 'stderr', data: Buffer): void {
    this.#tell({ type: 'output', step, stream, data })
  }
}
