/** Archives of layers: POSIX ustar, with pax records for what does not fit (pax(1), "pax Interchange Format"). */
import { createHash } from 'node:crypto'
import { closeSync, openSync, readSync, writeSync } from 'node:fs'
import type { Entry, Member, WrittenArchive } from './entry.js'
import { FaultAt } from './fault.js'
import { withContents } from './read.js'

const BLOCK = 512
const FLUSH = 1024 * 1024
const XATTR = 'SCHILY.xattr.'

const TYPES: Record<Entry['kind'], string> = {
  file: '0',
  symlink: '2',
  character: '3',
  block: '4',
  directory: '5',
  fifo: '6',
}
const KINDS: Record<string, Entry['kind']> = {
  '\0': 'file',
  ...Object.fromEntries(Object.entries(TYPES).map(([kind, type]) => [type, kind as Entry['kind']])),
}

/** The same members in the same order give the same bytes. */
export function packMembers(members: readonly Member[], fd: number): WrittenArchive {
  const hash = createHash('sha256')
  const pending: Buffer[] = []
  let waiting = 0
  let size = 0
  const flush = () => {
    const all = Buffer.concat(pending.splice(0))
    waiting = 0
    hash.update(all)
    for (let at = 0; at < all.length; ) at += writeSync(fd, all, at, all.length - at, size + at)
    size += all.length
  }
  const put = (bytes: Buffer) => {
    pending.push(Buffer.from(bytes))
    waiting += bytes.length
    if (waiting >= FLUSH) flush()
  }
  withContents((contents) => {
    for (const member of members) {
      put(headerOf(member))
      if (member.kind !== 'file') continue
      contents.read(member, put)
      put(padding(member.size))
    }
  })
  put(Buffer.alloc(2 * BLOCK))
  flush()
  return { digest: `sha256:${hash.digest('hex')}`, size, entries: members.length }
}

const padding = (size: number) => Buffer.alloc((BLOCK - (size % BLOCK)) % BLOCK)

export function headerOf(member: Member): Buffer {
  const { kind, mode, uid, gid, mtime, size, target = '', device, xattrs = {} } = member
  const name = kind === 'directory' ? `${member.path}/` : member.path
  const records: Array<[string, string | Buffer]> = []
  const fitting = (key: string, value: string, room: number) => {
    const bytes = Buffer.from(value)
    if (bytes.length <= room && bytes.length === value.length) return bytes
    records.push([key, bytes])
    return bytes.subarray(0, room)
  }
  const number = (key: string, value: number, digits: number) => {
    if (value >= 0 && value < 8 ** digits) return value
    records.push([key, String(value)])
    return 0
  }
  const block = Buffer.alloc(BLOCK)
  const octal = (value: number, at: number, digits: number) =>
    block.write(`${value.toString(8).padStart(digits, '0')}\0`, at, 'latin1')
  fitting('path', name, 100).copy(block, 0)
  octal(mode, 100, 7)
  octal(number('uid', uid, 7), 108, 7)
  octal(number('gid', gid, 7), 116, 7)
  octal(number('size', kind === 'file' ? size : 0, 11), 124, 11)
  octal(number('mtime', mtime, 11), 136, 11)
  block.write(TYPES[kind], 156, 'latin1')
  fitting('linkpath', target, 100).copy(block, 157)
  block.write('ustar\x0000', 257, 'latin1')
  octal(device?.[0] ?? 0, 329, 7)
  octal(device?.[1] ?? 0, 337, 7)
  seal(block)
  for (const key of Object.keys(xattrs).sort())
    records.push([XATTR + key, Buffer.from(xattrs[key] as string, 'latin1')])
  return records.length === 0 ? block : Buffer.concat([paxHeader(records), block])
}

function seal(block: Buffer): void {
  block.fill(' ', 148, 156)
  let sum = 0
  for (const byte of block) sum += byte
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1')
}

function paxHeader(records: ReadonlyArray<[string, string | Buffer]>): Buffer {
  const body = Buffer.concat(
    records.map(([key, value]) => {
      const rest = Buffer.concat([Buffer.from(` ${key}=`), Buffer.from(value), Buffer.from('\n')])
      let length = rest.length + 1
      while (String(length).length + rest.length !== length) length = String(length).length + rest.length
      return Buffer.concat([Buffer.from(String(length)), rest])
    }),
  )
  const block = Buffer.alloc(BLOCK)
  block.write('PaxHeaders/record', 0, 'latin1')
  for (const [at, text] of [
    [100, '0000644\0'],
    [108, '0000000\0'],
    [116, '0000000\0'],
    [136, '00000000000\0'],
  ] as const)
    block.write(text, at, 'latin1')
  block.write(`${body.length.toString(8).padStart(11, '0')}\0`, 124, 'latin1')
  block.write('x', 156, 'latin1')
  block.write('ustar\x0000', 257, 'latin1')
  seal(block)
  return Buffer.concat([block, body, padding(body.length)])
}

/** What our own packer wrote; a hard link counts as another file with the same bytes. */
export function indexArchive(file: string): Entry[] {
  const fd = openSync(file, 'r')
  const entries: Entry[] = []
  const byPath = new Map<string, Entry>()
  let pax = new Map<string, Buffer>()
  try {
    for (let at = 0; ; ) {
      const block = readAt(fd, at, BLOCK, file)
      if (block.every((byte) => byte === 0)) return entries
      at += BLOCK
      const type = String.fromCharCode(block[156] as number)
      const size = Number(pax.get('size')?.toString() ?? octalIn(block, 124, 12))
      const next = at + size + padding(size).length
      if (type === 'x') {
        pax = parsePax(readAt(fd, at, size, file))
        at = next
        continue
      }
      const entry = entryOf(file, block, type, pax, at, size)
      if (type === '1') linkTo(byPath.get(entry.target as string), entry)
      byPath.set(entry.path, entry)
      entries.push(entry)
      pax = new Map()
      at = type === '0' || type === '\0' ? next : at
    }
  } finally {
    closeSync(fd)
  }
}

function entryOf(
  file: string,
  block: Buffer,
  type: string,
  pax: Map<string, Buffer>,
  offset: number,
  size: number,
): Entry {
  const kind = type === '1' ? 'file' : KINDS[type]
  const path = (pax.get('path')?.toString() ?? nameIn(block)).replace(/\/$/, '')
  if (!kind) throw new FaultAt({ message: `${path} is of a kind that cannot be copied`, path })
  const number = (key: string, from: number, length: number) =>
    Number(pax.get(key)?.toString() ?? octalIn(block, from, length))
  const xattrs = [...pax].filter(([key]) => key.startsWith(XATTR))
  const target = pax.get('linkpath')?.toString() ?? textIn(block, 157, 100)
  return {
    path,
    kind,
    mode: octalIn(block, 100, 8) & 0o7777,
    uid: number('uid', 108, 8),
    gid: number('gid', 116, 8),
    mtime: Math.floor(number('mtime', 136, 12)),
    size: kind === 'file' ? size : 0,
    ...(target === '' ? {} : { target }),
    ...(kind === 'file' ? { content: { kind: 'part', file, offset } } : {}),
    ...(kind === 'character' || kind === 'block'
      ? { device: [octalIn(block, 329, 8), octalIn(block, 337, 8)] as [number, number] }
      : {}),
    ...(xattrs.length > 0
      ? {
          xattrs: Object.fromEntries(xattrs.map(([key, value]) => [key.slice(XATTR.length), value.toString('latin1')])),
        }
      : {}),
  }
}

function linkTo(first: Entry | undefined, entry: Entry): void {
  if (!first) throw new FaultAt({ message: `${entry.path} links to a file that is not there`, path: entry.path })
  entry.size = first.size
  entry.content = first.content
  delete entry.target
}

function readAt(fd: number, at: number, length: number, file: string): Buffer {
  const buffer = Buffer.alloc(length)
  for (let got = 0; got < length; ) {
    const more = readSync(fd, buffer, got, length - got, at + got)
    if (more === 0) throw new FaultAt({ message: 'an archive of a stage ends too early', path: file })
    got += more
  }
  return buffer
}

function textIn(block: Buffer, at: number, length: number): string {
  const part = block.subarray(at, at + length)
  const end = part.indexOf(0)
  return part.subarray(0, end < 0 ? length : end).toString('utf8')
}

const octalIn = (block: Buffer, at: number, length: number) =>
  Number.parseInt(textIn(block, at, length).trim() || '0', 8)

function nameIn(block: Buffer): string {
  const prefix = textIn(block, 345, 155)
  const name = textIn(block, 0, 100)
  return prefix === '' ? name : `${prefix}/${name}`
}

function parsePax(body: Buffer): Map<string, Buffer> {
  const found = new Map<string, Buffer>()
  for (let at = 0; at < body.length; ) {
    const space = body.indexOf(0x20, at)
    const length = Number(body.subarray(at, space).toString())
    if (space < 0 || !Number.isInteger(length) || length <= 0) break
    const record = body.subarray(space + 1, at + length - 1)
    const equals = record.indexOf(0x3d)
    found.set(record.subarray(0, equals).toString(), record.subarray(equals + 1))
    at += length
  }
  return found
}
