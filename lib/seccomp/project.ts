/**
 * A filter beside the usual one, for programs that write where a project's quota bounds them. Whoever owns a file may
 * give it to another project, or have a directory no longer hand its own down (FS_IOC_FSSETXATTR, FS_IOC_SETFLAGS), and
 * what he writes then counts nowhere. In a user namespace of its own the kernel refuses that itself.
 */
import { compileFilter } from './compile.js'
import { ALLOW, type Architecture, type Condition, errno } from './profile.js'

const REFUSED = errno(1) // EPERM
/** Of 64-bit programs; others end by the filter. */
const SETTING = [0x40086602, 0x401c5820]

/** The kernel looks at the lower half of a request only. */
const request = (value: number): Condition => ({
  index: 1,
  op: 'MASKED_EQ',
  value: 0xffffffffn,
  valueTwo: BigInt(value),
})

const filters = new Map<Architecture, Uint8Array>()

/** Made once; do not write to it. */
export function projectFilter(arch: Architecture): Uint8Array {
  let filter = filters.get(arch)
  if (!filter) {
    const rules = [
      ...SETTING.map((value) => ({ names: ['ioctl'], action: REFUSED, conditions: [request(value)] })),
      { names: ['file_setattr'], action: REFUSED, conditions: [] },
    ]
    filter = compileFilter({ defaultAction: ALLOW, rules }, { arch, capabilities: [] })
    filters.set(arch, filter)
  }
  return filter
}
