/** Trees on disk, as text that can be compared, and scratch directories for them. */
import { execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  existsSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statfsSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { isRoot } from './needs.js'

const made: string[] = []

/** A new directory, removed with removeScratch(). */
export function scratch(): string {
  const directory = mkdtempSync(path.join(tmpdir(), 'caisson-test-'))
  made.push(directory)
  return directory
}

/**
 * The same for `bytes` in very many files: in memory, where there is room for half as many again. A disk takes far longer
 * to make and remove them, and keeps whoever runs beside waiting.
 */
export function largeScratch(bytes: number): string {
  const memory = '/dev/shm'
  if (!existsSync(memory)) return scratch()
  const { bavail, bsize } = statfsSync(memory)
  if (!isRoot || Math.min(bavail * bsize, available()) < 1.5 * bytes) return scratch()
  const directory = mkdtempSync(path.join(memory, 'caisson-test-'))
  made.push(directory)
  return directory
}

/** Bytes that the kernel would find for who asks (proc_meminfo(5)). */
function available(): number {
  const [, kib] = /^MemAvailable:\s+(\d+) kB$/m.exec(readFileSync('/proc/meminfo', 'utf8')) ?? []
  return Number(kib ?? 0) * 1024
}

export function removeScratch(): void {
  for (const directory of made.splice(0)) {
    if (isRoot) rmSync(directory, { recursive: true, force: true })
    else removeAsUser(directory)
  }
}

/** Layers of an ordinary user belong to its subordinate ids, and it is their owner's root in a user namespace alone. */
function removeAsUser(directory: string): void {
  const quiet = { stdio: 'ignore' as const }
  spawnSync('chmod', ['-R', 'u+rwX', directory], quiet)
  try {
    rmSync(directory, { recursive: true, force: true })
  } catch {
    execFileSync('unshare', ['--map-root-user', '--map-auto', 'rm', '-rf', directory], quiet)
  }
}

export interface Look {
  /** Bits and ids. Default true. */
  owners?: boolean
  /** Of all but directories: `seconds`, `exact`; and of `directories` too. Default none. */
  times?: 'seconds' | 'exact'
  directoryTimes?: boolean
  content?: boolean
}

/** Every path with what it is; hard links to the same file share a number. */
export function look(root: string, options: Look = {}): Record<string, string> {
  const result: Record<string, string> = {}
  const linked = new Map<bigint, number>()
  const visit = (relative: string) => {
    const at = path.join(root, relative)
    const names = readdirSync(Buffer.from(at), 'latin1').sort()
    for (const name of names) {
      const inner = relative === '' ? name : `${relative}/${name}`
      const file = Buffer.from(`${root}/${inner}`, 'latin1')
      const status = lstatSync(file, { bigint: true })
      const words: string[] = []
      if (status.isDirectory()) words.push('dir')
      else if (status.isSymbolicLink()) words.push(`-> ${readlinkSync(file, 'latin1')}`)
      else if (status.isFile()) {
        words.push(`file ${status.size}`)
        if (options.content !== false)
          words.push(createHash('sha256').update(readFileSync(file)).digest('hex').slice(0, 12))
      } else if (status.isFIFO()) words.push('fifo')
      else words.push(`${status.isCharacterDevice() ? 'char' : 'block'} ${status.rdev}`)
      if (options.owners !== false) {
        if (!status.isSymbolicLink()) words.push((status.mode & 0o7777n).toString(8))
        words.push(`${status.uid}:${status.gid}`)
      }
      if (options.times && (!status.isDirectory() || options.directoryTimes))
        words.push(String(options.times === 'exact' ? status.mtimeNs : status.mtimeNs / 1_000_000_000n))
      if (!status.isDirectory() && status.nlink > 1n) {
        if (!linked.has(status.ino)) linked.set(status.ino, linked.size)
        words.push(`link#${linked.get(status.ino)}`)
      }
      result[inner] = words.join(' ')
      if (status.isDirectory()) visit(inner)
    }
  }
  visit('')
  return result
}

/** Extended attributes of a file (not followed), but for those that the machine sets itself. */
export function xattrs(file: string): Record<string, string> {
  const text = execFileSync('getfattr', ['-h', '-d', '-m', '-', '-e', 'hex', '--absolute-names', file], {
    encoding: 'utf8',
  })
  const found: Record<string, string> = {}
  for (const line of text.split('\n')) {
    const [, name, value] = /^([^#=]+)=0x(.*)$/.exec(line) ?? []
    if (name && name !== 'security.selinux') found[name] = value as string
  }
  return found
}
