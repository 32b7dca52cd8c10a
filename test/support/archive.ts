/** Tar archives made by hand, byte for byte, right or wrong. */

export interface Member {
  name?: string | Buffer
  type?: string
  data?: string | Uint8Array
  link?: string | Buffer
  mode?: number
  uid?: number
  gid?: number
  mtime?: number
  major?: number
  minor?: number
  /** What the header says, where that is not the length of the data. */
  size?: number
  prefix?: string
  magic?: string
  /** Last change to the header, before the checksum. */
  edit?: (header: Buffer) => void
  /** Wrong checksum. */
  damaged?: boolean
}

const octal = (value: number, digits: number) => `${value.toString(8).padStart(digits, '0')}\0`

/** One member: header, and data in whole blocks. */
export function member(options: Member): Buffer {
  const {
    name = 'file',
    type = '0',
    link = '',
    mode = 0o644,
    uid = 0,
    gid = 0,
    mtime = 0,
    major = 0,
    minor = 0,
  } = options
  const data = Buffer.from(options.data ?? '')
  const header = Buffer.alloc(512)
  Buffer.from(name).copy(header, 0, 0, 100)
  header.write(octal(mode, 7), 100)
  header.write(octal(uid, 7), 108)
  header.write(octal(gid, 7), 116)
  header.write(octal(options.size ?? data.length, 11), 124)
  header.write(octal(mtime, 11), 136)
  header.write(type, 156, 'latin1')
  Buffer.from(link).copy(header, 157, 0, 100)
  header.write(options.magic ?? 'ustar\x0000', 257, 'latin1')
  header.write(octal(major, 7), 329)
  header.write(octal(minor, 7), 337)
  header.write(options.prefix ?? '', 345)
  options.edit?.(header)
  header.fill(' ', 148, 156)
  const sum = header.reduce((total, byte) => total + byte, 0) + (options.damaged ? 1 : 0)
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
  return Buffer.concat([header, padded(data)])
}

export function padded(data: Uint8Array): Buffer {
  return Buffer.concat([data, Buffer.alloc((512 - (data.length % 512)) % 512)])
}

/** One record of an extended header. */
export function record(key: string, value: string | Uint8Array): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`), Buffer.from(value), Buffer.from('\n')])
  let length = rest.length + 1
  while (rest.length + String(length).length > length) length++
  return Buffer.concat([Buffer.from(String(length)), rest])
}

/** An extended header for the member that follows, or (type g) for all. */
export function pax(records: Array<[string, string | Uint8Array]>, type = 'x'): Buffer {
  return member({ name: 'PaxHeader', type, data: Buffer.concat(records.map(([key, value]) => record(key, value))) })
}

/** A long name (type L) or link (K) of GNU. */
export function gnuLong(type: 'L' | 'K', text: string | Buffer): Buffer {
  const data = Buffer.concat([Buffer.from(text), Buffer.alloc(1)])
  return member({ name: '././@LongLink', type, data, magic: 'ustar  \0' })
}

export const END = Buffer.alloc(1024)

export function archive(...parts: Array<Member | Buffer>): Buffer {
  return Buffer.concat([...parts.map((part) => (Buffer.isBuffer(part) ? part : member(part))), END])
}
