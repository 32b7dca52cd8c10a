/** Progress of pulls and pushes: a line for each part at a terminal, and nothing where there is none. */
import type { TransferEvent } from '../index.js'

/** Milliseconds between two pictures. */
const INTERVAL = 80
const BAR = 24

const WORDS: Record<TransferEvent['status'], string> = {
  waiting: 'Waiting',
  downloading: 'Downloading',
  verifying: 'Verifying',
  extracting: 'Extracting',
  uploading: 'Uploading',
  done: 'Complete',
  exists: 'Already there',
  mounted: 'Mounted from another repository',
}

export interface Progress {
  tell(event: TransferEvent): void
  /** The last picture stays. */
  end(): void
}

export function showProgress(to: NodeJS.WriteStream, quiet: boolean): Progress {
  if (quiet || !to.isTTY) return { tell() {}, end() {} }
  const parts = new Map<string, TransferEvent>()
  let drawn = 0
  let timer: NodeJS.Timeout | undefined
  const draw = () => {
    timer = undefined
    const columns = to.columns || 80
    // More lines than the terminal has could not be drawn over: the oldest that are complete are left out.
    const room = Math.max((to.rows || 24) - 2, 3)
    const all = [...parts.values()]
    const finished = all.filter(isOver)
    const hidden = new Set(finished.slice(0, Math.max(all.length - room, 0)))
    const lines = all.filter((part) => !hidden.has(part)).map((part) => line(part).slice(0, columns - 1))
    const up = drawn > 0 ? `\u001b[${drawn}A` : ''
    to.write(`${up}${lines.map((text) => `\r\u001b[2K${text}\n`).join('')}\u001b[J`)
    drawn = lines.length
  }
  return {
    tell(event) {
      if (event.kind === 'config') return
      parts.set(event.id, event)
      timer ??= setTimeout(draw, INTERVAL)
      timer.unref()
    },
    end() {
      clearTimeout(timer)
      if (parts.size > 0) draw()
    },
  }
}

function isOver({ status }: TransferEvent): boolean {
  return status === 'done' || status === 'exists' || status === 'mounted'
}

export function line({ id, status, current, total }: TransferEvent): string {
  const short = id.replace(/^sha\d+:/, '').slice(0, 12)
  const word = WORDS[status]
  if (status !== 'downloading' && status !== 'uploading') return `${short}: ${word}`
  const filled = total > 0 ? Math.min(Math.floor((current / total) * BAR), BAR) : 0
  const bar = `[${'='.repeat(filled)}${filled < BAR ? '>' : ''}${' '.repeat(Math.max(BAR - filled - 1, 0))}]`
  return `${short}: ${word.padEnd(11)} ${bar} ${bytes(current)}/${bytes(total)}`
}

/** Decimal units, as docker prints sizes. */
export function bytes(count: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB']
  let value = count
  let unit = 0
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000
    unit++
  }
  return `${unit === 0 ? value : Number(value.toPrecision(3))}${units[unit]}`
}
