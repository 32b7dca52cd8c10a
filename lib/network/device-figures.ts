/** What the devices of a network namespace have carried since they were made. */
import { open } from 'node:fs/promises'

/** As /proc/PID/net/dev has them (proc_pid_net(5)). */
export interface DeviceFigures {
  receivedBytes: number
  receivedPackets: number
  receivedErrors: number
  receivedDropped: number
  sentBytes: number
  sentPackets: number
  sentErrors: number
  sentDropped: number
}

/** Bytes of the file that are read: a guest may make any number of devices, behind those that it was given. */
const READ_MAX = 64 * 1024
/** Columns of what was received; those of what was sent come after them. */
const COLUMNS = 8

/** Of those devices, by name, in the namespace of a process; without those that are not there, nor any when it has ended. */
export async function deviceFigures(pid: number, names: readonly string[]): Promise<Record<string, DeviceFigures>> {
  if (names.length === 0) return {}
  const text = await readStart(`/proc/${pid}/net/dev`).catch(() => '')
  const figures: Record<string, DeviceFigures> = {}
  for (const line of text.split('\n')) {
    const [, name = '', rest = ''] = /^\s*([^\s:]+):\s*(.*)$/.exec(line) ?? []
    const columns = rest.split(/\s+/).map(Number)
    if (!names.includes(name) || columns.length < COLUMNS * 2) continue
    const at = (column: number) => columns[column] as number
    figures[name] = {
      receivedBytes: at(0),
      receivedPackets: at(1),
      receivedErrors: at(2),
      receivedDropped: at(3),
      sentBytes: at(COLUMNS),
      sentPackets: at(COLUMNS + 1),
      sentErrors: at(COLUMNS + 2),
      sentDropped: at(COLUMNS + 3),
    }
  }
  return figures
}

async function readStart(file: string): Promise<string> {
  await using handle = await open(file)
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(READ_MAX), 0, READ_MAX, 0)
  return buffer.toString('latin1', 0, bytesRead)
}
