/** Where caisson keeps its data: which file system, and what is left on it. */
import { access, constants, statfs } from 'node:fs/promises'
import path from 'node:path'
import { roots } from '../util/roots.js'
import { bad, type Finding, ok, type Subject, unknown } from './finding.js'

const PLACE: Subject = {
  id: 'storage.place',
  what: 'directory for data',
  why: 'Images, volumes and writable layers are kept there (CAISSON_ROOT).',
}
const SPACE: Subject = {
  id: 'storage.space',
  what: 'free space and inodes',
  why: 'Images and writable layers fill it; when it is full, containers fail with ENOSPC.',
}

/** f_type of statfs(2); `bad`: a writable layer cannot lie there. */
const TYPES = new Map<number, { name: string; bad?: boolean }>([
  [0xef53, { name: 'ext4' }],
  [0x58465342, { name: 'xfs' }],
  [0x9123683e, { name: 'btrfs' }],
  [0x01021994, { name: 'tmpfs' }],
  [0x2fc12fc1, { name: 'zfs' }],
  [0xf2f52010, { name: 'f2fs' }],
  [0x794c7630, { name: 'overlay', bad: true }],
  [0x6969, { name: 'nfs', bad: true }],
  [0x65735546, { name: 'fuse', bad: true }],
  [0x01021997, { name: '9p', bad: true }],
  [0xff534d42, { name: 'cifs', bad: true }],
])

const GIB = 1024 ** 3
const ENOUGH_BYTES = 2 * GIB
const ENOUGH_INODES = 50_000

/** CAISSON_ROOT, or the nearest directory above it that exists already. */
export async function dataDirectory(): Promise<string> {
  for (let directory = roots().data; ; directory = path.dirname(directory)) {
    const there = await access(directory).then(
      () => true,
      () => false,
    )
    if (there || directory === path.dirname(directory)) return directory
  }
}

export async function examineStorage(directory: string): Promise<Finding[]> {
  try {
    const status = await statfs(directory)
    const type = TYPES.get(status.type) ?? { name: `type 0x${status.type.toString(16)}` }
    const writable = await access(directory, constants.W_OK).then(
      () => true,
      () => false,
    )
    return [place(directory, type, writable), space(directory, status)]
  } catch (error) {
    return [PLACE, SPACE].map((subject) => unknown(subject, (error as Error).message))
  }
}

function place(directory: string, type: { name: string; bad?: boolean }, writable: boolean): Finding {
  const detail = `${roots().data}${directory === roots().data ? '' : ' (to be made)'}, on ${type.name}`
  const fix = 'Set CAISSON_ROOT to a directory on a local ext4, xfs or btrfs that this user may write to.'
  if (!writable) return bad(PLACE, 'missing', `${detail}; ${directory} is not writable`, fix)
  return type.bad ? bad(PLACE, 'warning', detail, fix) : ok(PLACE, detail)
}

interface Free {
  bavail: number
  bsize: number
  files: number
  ffree: number
}

export function space(directory: string, { bavail, bsize, files, ffree }: Free): Finding {
  const bytes = bavail * bsize
  // Some file systems make inodes as they go, and count none.
  const detail = `${(bytes / GIB).toFixed(1)} GiB${files > 0 ? `, ${ffree} inodes` : ''} on ${directory}`
  const fix = 'Remove what is not needed, or set CAISSON_ROOT to a larger file system.'
  if (bytes < ENOUGH_BYTES / 16) return bad(SPACE, 'missing', detail, fix)
  const few = bytes < ENOUGH_BYTES || (files > 0 && ffree < ENOUGH_INODES)
  return few ? bad(SPACE, 'warning', detail, fix) : ok(SPACE, detail)
}
