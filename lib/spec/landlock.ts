/** Rights of Landlock (landlock(7)), and the rules that callers may give. */

export type LandlockAccess = 'read' | 'execute' | 'write'

/** What may be done; everything else of its kind may not. A kind that is left out is as open as without Landlock. */
export interface LandlockRules {
  /** Paths in the container, by no link of the image's, with all below them. `execute` reads too, and `write` does all three. */
  fs?: ReadonlyArray<{ path: string; access: LandlockAccess }>
  /** TCP ports that it may connect to. Linux 6.7. */
  connect?: readonly number[]
  /** TCP ports that it may listen on. Linux 6.7. */
  bind?: readonly number[]
  /** Abstract sockets of programs outside, and signals to them, are out of reach. Linux 6.12. */
  scope?: ReadonlyArray<'abstract-unix' | 'signal'>
}

const bit = (number: number) => 2 ** number
const EXECUTE = bit(0)
const READ = bit(2) + bit(3)
const MAKE_CHAR = bit(6)
const MAKE_BLOCK = bit(11)
const IOCTL_DEV = bit(15)
const ALL = bit(16) - 1

/** LANDLOCK_ACCESS_FS_*. */
export const FS_RIGHTS: Record<LandlockAccess, number> = { read: READ, execute: READ + EXECUTE, write: ALL }

/** Of a root that is not to be written to: its devices and kernel files are there all the same. */
export const FS_READ_ONLY = READ + EXECUTE + IOCTL_DEV

export const FS_DEVICE_NODES = MAKE_CHAR + MAKE_BLOCK

/** LANDLOCK_ACCESS_NET_*. */
export const NET_RIGHTS = { bind: bit(0), connect: bit(1) } as const

/** LANDLOCK_SCOPE_*. */
export const SCOPES = { 'abstract-unix': bit(0), signal: bit(1) } as const
