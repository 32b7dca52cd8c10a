/** /proc/PID/mountinfo (proc_pid_mountinfo(5)). */

export interface MountInfo {
  id: number
  parent: number
  major: number
  minor: number
  /** The directory of the file system that is the root of this mount. */
  root: string
  mountpoint: string
  options: string
  /** `shared:1`, `master:2` and so on. */
  optional: string[]
  fsType: string
  source: string
  superOptions: string
}

/** Lines that do not have the form are left out: the kernel's text can be cut at the end of a read. */
export function parseMountInfo(text: string): MountInfo[] {
  const mounts: MountInfo[] = []
  for (const line of text.split('\n')) {
    const separator = line.indexOf(' - ')
    if (separator < 0) continue
    const [id, parent, device, root, mountpoint, options, ...optional] = line.slice(0, separator).split(' ')
    const [fsType, source, superOptions] = line.slice(separator + 3).split(' ')
    const [major, minor] = (device ?? '').split(':').map(Number)
    if (root === undefined || mountpoint === undefined || options === undefined) continue
    if (fsType === undefined || source === undefined || superOptions === undefined) continue
    if (![Number(id), Number(parent), major, minor].every(Number.isInteger)) continue
    mounts.push({
      id: Number(id),
      parent: Number(parent),
      major: major as number,
      minor: minor as number,
      root: unescapeOctal(root),
      mountpoint: unescapeOctal(mountpoint),
      options,
      optional: optional.filter((field) => field !== ''),
      fsType: unescapeOctal(fsType),
      source: unescapeOctal(source),
      superOptions,
    })
  }
  return mounts
}

/** `\040` and the like, which the kernel writes for ASCII only; any other backslash stays. */
export function unescapeOctal(text: string): string {
  if (!text.includes('\\')) return text
  const bytes = Buffer.from(text, 'utf8').toString('latin1')
  const plain = bytes.replace(/\\([01][0-7]{2})/g, (_, digits) => String.fromCharCode(Number.parseInt(digits, 8)))
  return Buffer.from(plain, 'latin1').toString('utf8')
}
