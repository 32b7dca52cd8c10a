/** A build as it goes on, in the lines that docker and docker-compose know. */
import { StringDecoder } from 'node:string_decoder'
import type { BuildEvent, BuildStepEvent } from '../build/options.js'
import type { Told } from './progress.js'
import { transferLine } from './progress.js'

/** Bytes that wait for a client which reads too slowly; what commands print beyond them is not told. */
const WAITING_MAX = 1024 * 1024

export interface LineTarget {
  tell(line: Told): void
  /** Bytes that were told and not yet sent. */
  waiting(): number
}

export class BuildLines {
  readonly #to: LineTarget
  /** Of a step's stream: a character may come in two pieces. */
  readonly #decoders = new Map<string, StringDecoder>()
  #lost = 0

  constructor(to: LineTarget) {
    this.#to = to
  }

  take(event: BuildEvent): void {
    if (event.type === 'step') this.#step(event)
    else if (event.type === 'output') this.#output(`${event.step}/${event.stream}`, event.data)
    else if (event.type === 'warning') this.#warn(`${event.warning.message} (line ${event.warning.span.start.line})`)
    else if (event.type === 'unused-arg' || event.type === 'notice') this.#warn(event.message)
    else if (event.type === 'transfer' && event.event.kind === 'layer') this.#to.tell(transferLine(event.event))
  }

  #step({ step, status, index, count, title }: BuildStepEvent): void {
    if (status === 'started') this.#say(`Step ${index}/${count} : ${title}\n`)
    else this.#end(step)
    if (status === 'cached') this.#say(' ---> Using cache\n')
  }

  /** What there was of a character that never came whole. */
  #end(step: number): void {
    for (const stream of ['stdout', 'stderr']) {
      const key = `${step}/${stream}`
      this.#say(this.#decoders.get(key)?.end() ?? '')
      this.#decoders.delete(key)
    }
  }

  #output(key: string, data: Buffer): void {
    if (this.#to.waiting() > WAITING_MAX) {
      this.#lost += data.length
      return
    }
    if (this.#lost > 0) this.#say(`[${this.#lost} bytes are left out: they were not read in time]\n`)
    this.#lost = 0
    let decoder = this.#decoders.get(key)
    if (!decoder) {
      decoder = new StringDecoder('utf8')
      this.#decoders.set(key, decoder)
    }
    this.#say(decoder.write(data))
  }

  #warn(message: string): void {
    this.#say(`[Warning] ${message}\n`)
  }

  #say(stream: string): void {
    if (stream !== '') this.#to.tell({ stream })
  }
}
