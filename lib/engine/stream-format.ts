/** Output of both streams on one connection: a header of eight bytes before each piece (Engine API, ContainerAttach). */
export const RAW = 'application/vnd.docker.raw-stream'
export const MULTIPLEXED = 'application/vnd.docker.multiplexed-stream'

const HEADER = 8
const NUMBERS = { stdout: 1, stderr: 2 } as const

/** One piece as it goes over the connection: the number of its stream, three zeros, its length, its bytes. */
export function frame(stream: 'stdout' | 'stderr', bytes: Uint8Array): Buffer {
  const framed = Buffer.allocUnsafe(HEADER + bytes.length)
  framed.writeUInt32BE(NUMBERS[stream] * 0x1000000, 0)
  framed.writeUInt32BE(bytes.length, 4)
  framed.set(bytes, HEADER)
  return framed
}
