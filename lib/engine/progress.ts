/** Answers that tell of work while it goes on: a JSON object a line, and as the last one what went wrong. */
import type { TransferEvent } from '../registry/progress.js'
import type { Call } from './call.js'
import { failureOf } from './failure.js'

export interface Told {
  [name: string]: unknown
}

/** The headers go with the first line: what fails before has a status of its own. */
export async function telling(call: Call, work: (tell: (line: Told) => void) => Promise<void>): Promise<void> {
  const { response } = call
  const tell = (line: Told) => {
    if (response.destroyed) return
    if (!response.headersSent) response.writeHead(200, { 'Content-Type': 'application/json' })
    response.write(`${JSON.stringify(line)}\r\n`)
  }
  try {
    await work(tell)
  } catch (error) {
    if (!response.headersSent) throw error
    const { message } = failureOf(error)
    tell({ errorDetail: { message }, error: message })
  }
  response.end()
}

const WORDS: Record<TransferEvent['status'], string> = {
  waiting: 'Waiting',
  downloading: 'Downloading',
  verifying: 'Verifying Checksum',
  extracting: 'Extracting',
  uploading: 'Pushing',
  done: 'Pull complete',
  exists: 'Already exists',
  mounted: 'Mounted from another repository',
}

/** Digits of a layer's digest, as docker shows them. */
const SHOWN = 12

export function transferLine({ id, status, current, total }: TransferEvent, push = false): Told {
  const shown = id.replace(/^[^:]*:/, '').slice(0, SHOWN)
  const words =
    push && status === 'done' ? 'Pushed' : push && status === 'exists' ? 'Layer already exists' : WORDS[status]
  const moving = status === 'downloading' || status === 'extracting' || status === 'uploading'
  return { status: words, progressDetail: moving ? { current, total } : {}, id: shown }
}
