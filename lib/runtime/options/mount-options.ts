/** Mount options as in fstab and the OCI specification, taken apart. */

/** MOUNT_ATTR_* of mount_setattr(2). */
export const ATTR = {
  RDONLY: 0x1,
  NOSUID: 0x2,
  NODEV: 0x4,
  NOEXEC: 0x8,
  NOATIME: 0x10,
  STRICTATIME: 0x20,
  NODIRATIME: 0x80,
  NOSYMFOLLOW: 0x200000,
} as const

/** Propagation types of mount(2). */
export const PROPAGATION = {
  unbindable: 1 << 17,
  private: 1 << 18,
  slave: 1 << 19,
  shared: 1 << 20,
} as const

export const MS_REC = 0x4000

export interface MountOptions {
  bind: boolean
  recursive: boolean
  /** MOUNT_ATTR_* to set. */
  attributes: number
  /** The attributes are for all submounts too (`rro` and its like). */
  recursiveAttributes: boolean
  /** 0: not said. */
  propagation: number
  /** `idmap` or `ridmap` was given. */
  idmap: boolean
  /** What remains is for the file system: key and value, '' for a flag. */
  data: Array<[key: string, value: string]>
}

const SET: Record<string, number> = {
  ro: ATTR.RDONLY,
  nosuid: ATTR.NOSUID,
  nodev: ATTR.NODEV,
  noexec: ATTR.NOEXEC,
  noatime: ATTR.NOATIME,
  strictatime: ATTR.STRICTATIME,
  nodiratime: ATTR.NODIRATIME,
  nosymfollow: ATTR.NOSYMFOLLOW,
}

const CLEAR: Record<string, number> = {
  rw: ATTR.RDONLY,
  suid: ATTR.NOSUID,
  dev: ATTR.NODEV,
  exec: ATTR.NOEXEC,
  atime: ATTR.NOATIME,
  relatime: ATTR.NOATIME | ATTR.STRICTATIME,
  norelatime: 0,
  diratime: ATTR.NODIRATIME,
  nostrictatime: ATTR.STRICTATIME,
  symfollow: ATTR.NOSYMFOLLOW,
}

/** Words that mean something to mount(8) or are the kernel's default, and nothing to us. */
const IGNORED = new Set(['defaults', 'newinstance', 'async', 'nomand', 'silent', 'loud', 'copyup', 'nocopy'])

export function parseMountOptions(options: readonly string[] = []): MountOptions {
  const result: MountOptions = {
    bind: false,
    recursive: false,
    attributes: 0,
    recursiveAttributes: false,
    propagation: 0,
    idmap: false,
    data: [],
  }
  for (const option of options) {
    // `rro`, `rnosuid`, `rslave`: the same for everything below.
    const below = option.startsWith('r') ? option.slice(1) : ''
    if (option === 'bind') result.bind = true
    else if (option === 'rbind') result.bind = result.recursive = true
    else if (Object.hasOwn(SET, option)) result.attributes |= SET[option] as number
    else if (Object.hasOwn(CLEAR, option)) result.attributes &= ~(CLEAR[option] as number)
    else if (Object.hasOwn(SET, below)) {
      result.attributes |= SET[below] as number
      result.recursiveAttributes = true
    } else if (Object.hasOwn(CLEAR, below)) result.attributes &= ~(CLEAR[below] as number)
    else if (Object.hasOwn(PROPAGATION, option)) result.propagation = PROPAGATION[option as keyof typeof PROPAGATION]
    else if (Object.hasOwn(PROPAGATION, below)) result.propagation = PROPAGATION[below as keyof typeof PROPAGATION]
    else if (option === 'idmap' || option === 'ridmap') result.idmap = true
    else if (!IGNORED.has(option)) {
      const equals = option.indexOf('=')
      result.data.push(equals < 0 ? [option, ''] : [option.slice(0, equals), option.slice(equals + 1)])
    }
  }
  return result
}
