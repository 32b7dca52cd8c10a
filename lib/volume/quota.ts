/**
 * Bounds of directories that the file system holds: quotas of projects, which ext4 and XFS have when they are mounted
 * so. Where they cannot be had, an error says what is missing, and how it comes there.
 */
import { randomInt } from 'node:crypto'
import { readFile, realpath } from 'node:fs/promises'
import { constants } from 'node:os'
import { CaissonError, type SystemCause } from '../errors.js'
import { addon, type NativeFailure } from '../native/addon.js'
import { errorFromFailure } from '../native/failure.js'
import { type MountInfo, parseMountInfo } from '../util/mountinfo.js'
import { privileged } from '../util/privileged.js'

/** Others on the machine number their projects from 1 on. */
const FIRST_PROJECT = 2 ** 20
const LAST_PROJECT = 2 ** 31 - 1
const ATTEMPTS = 8
/** Empty files take no blocks, but inodes of the file system: one may be made for each of these many bytes. */
const BYTES_OF_FILE = 4096
/** A small volume may hold a few all the same. */
const FEWEST_FILES = 1024

/**
 * Whatever is made in an empty directory counts from now on. Gives the number of the project that it is.
 * @param what has the bound, as `volume NAME`
 * @throws CaissonError ERR_CAISSON_LIMIT_UNAVAILABLE
 */
export async function boundDirectory(directory: string, bytes: number, what: string): Promise<number> {
  if (!privileged()) throw unavailable(what, 'only root may set quotas', `Leave the size out. ${TMPFS}`)
  const files = Math.max(FEWEST_FILES, Math.ceil(bytes / BYTES_OF_FILE))
  for (let attempt = 1; ; attempt++) {
    const project = randomInt(FIRST_PROJECT, LAST_PROJECT)
    try {
      await addon().boundDirectory(directory, project, bytes, files)
      return project
    } catch (failure) {
      if (failure instanceof Error) throw failure
      const taken = (failure as NativeFailure).errno === constants.errno.EEXIST
      if (!taken || attempt === ATTEMPTS) throw await explained(failure as NativeFailure, directory, what)
    }
  }
}

/** `directory`: any of the same file system. A bound that stays is one of nothing, as the project has no files left. */
export async function forgetProject(directory: string, project: number): Promise<void> {
  await addon()
    .forgetProject(directory, project)
    .catch(() => undefined)
}

async function explained(failure: NativeFailure, directory: string, what: string): Promise<CaissonError> {
  const mount = await mountOf(directory)
  const { cause } = errorFromFailure(failure)
  return unavailable(
    what,
    `${mount.fsType} on ${mount.mountpoint} holds no quotas of projects`,
    quotaCure(mount),
    cause,
  )
}

function unavailable(what: string, why: string, hint: string, cause?: SystemCause | Error): CaissonError {
  const message = `the size of ${what} cannot be bounded: ${why}`
  return new CaissonError('ERR_CAISSON_LIMIT_UNAVAILABLE', message, { stage: 'quota', hint, cause })
}

const TMPFS = 'A mount of type tmpfs has a size anywhere.'

/** What makes a file system hold them. */
export function quotaCure({ fsType, mountpoint, source }: Pick<MountInfo, 'fsType' | 'mountpoint' | 'source'>): string {
  const mount = `mount -o prjquota ${source} ${mountpoint}`
  const root = mountpoint === '/' ? ' Of the root file system: with rootflags=prjquota for the kernel.' : ''
  if (fsType === 'ext4')
    return `As root: umount ${mountpoint}; tune2fs -O project,quota -Q prjquota ${source}; ${mount} (kernel: CONFIG_QFMT_V2).${root}`
  if (fsType === 'xfs') return `As root: umount ${mountpoint}; ${mount} (kernel: CONFIG_XFS_QUOTA).${root}`
  return `Keep CAISSON_ROOT on ext4 or XFS, mounted with -o prjquota. ${TMPFS}`
}

/** The last of those that are nearest: it covers the others. */
async function mountOf(directory: string): Promise<MountInfo> {
  const real = `${await realpath(directory)}/`
  const above = parseMountInfo(await readFile('/proc/self/mountinfo', 'utf8'))
    .filter(({ mountpoint }) => real.startsWith(mountpoint === '/' ? '/' : `${mountpoint}/`))
    .sort((a, b) => a.mountpoint.length - b.mountpoint.length)
  return above.at(-1) as MountInfo
}
