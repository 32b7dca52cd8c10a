/** Texts of the kernel, of the machine and of images, as they are and as nobody expects them. */
import path from 'node:path'
import fc from 'fast-check'
import { parseProcCgroup, readHost } from '../../lib/cgroup/host.js'
import { parseIo, parseKeyed } from '../../lib/cgroup/usage.js'
import { parsePasswdUser } from '../../lib/runtime/options/passwd.js'
import { parseIdMap } from '../../lib/runtime/user/id-maps.js'
import { rangesOf } from '../../lib/runtime/user/id-ranges.js'
import { parseSubIds } from '../../lib/runtime/user/sub-ids.js'
import { parseMountInfo } from '../../lib/util/mountinfo.js'

/** Mostly of what such texts are made of. */
const piece = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.constantFrom(' ', '\n', ':', ',', '/', '-', ' - ', '..', '\\040', '\\', '=', '#', '\t', '\0'),
  },
  { weight: 3, arbitrary: fc.nat().map(String) },
  { weight: 1, arbitrary: fc.constantFrom('-1', '1e9', '99999999999999999999999999', '0x10', '018', '+1', ' 1') },
  { weight: 2, arbitrary: fc.constantFrom('cgroup', 'cgroup2', 'memory', 'name=systemd', 'root', 'caisson', 'rbytes') },
  { weight: 1, arbitrary: fc.string({ maxLength: 8, unit: 'binary' }) },
)
const text = fc.array(piece, { maxLength: 60 }).map((pieces) => pieces.join(''))
const RUNS = { numRuns: 500 }
const ID_MAX = 2 ** 32

const word = fc
  .string({ minLength: 1, maxLength: 12, unit: 'grapheme-ascii' })
  .filter((value) => !/[\s\\:,-]/.test(value))
const within = (directory: string, place: string) =>
  place === directory || place.startsWith(`${path.join(directory, '/')}`)

describe('hostile text', () => {
  test('mountinfo: never an error, and numbers are numbers', () => {
    fc.assert(
      fc.property(text, (value) => {
        for (const { id, parent, major, minor, mountpoint, fsType } of parseMountInfo(value)) {
          expect([id, parent, major, minor].every(Number.isInteger)).toBe(true)
          expect([typeof mountpoint, typeof fsType]).toEqual(['string', 'string'])
        }
      }),
      RUNS,
    )
  })

  test('mountinfo: whatever a name holds, as the kernel writes it, comes back', () => {
    const name = fc
      .string({ minLength: 1, maxLength: 20, unit: 'binary' })
      .filter((value) => Buffer.from(value).toString() === value && !value.includes('\0'))
    const written = (value: string) =>
      value.replace(/[ \t\n\\#]/g, (c) => `\\${c.charCodeAt(0).toString(8).padStart(3, '0')}`)
    fc.assert(
      fc.property(name, name, word, (root, mountpoint, source) => {
        const line = `36 35 98:0 /${written(root)} /${written(mountpoint)} rw shared:1 master:2 - ext4 ${source} rw,x=y\n`
        const [mount, ...more] = parseMountInfo(line)
        expect(more).toEqual([])
        expect([mount?.root, mount?.mountpoint, mount?.source]).toEqual([`/${root}`, `/${mountpoint}`, source])
        expect(mount?.optional).toEqual(['shared:1', 'master:2'])
      }),
      RUNS,
    )
  })

  test('cgroups: our place is in the mount, whatever the kernel calls it', () => {
    const membership = fc
      .tuple(
        fc.constantFrom('', 'memory', 'cpu,cpuacct', 'name=systemd'),
        fc.array(fc.constantFrom('..', 'a', 'b', '.', ''), { maxLength: 5 }),
      )
      .map(([controllers, parts]) => `1:${controllers}:/${parts.join('/')}`)
    const mount = fc
      .tuple(
        fc.constantFrom('cgroup', 'cgroup2'),
        fc.constantFrom('/', '/a', '/a/b'),
        fc.constantFrom('memory', 'cpu,cpuacct', ''),
      )
      .map(([type, root, options]) => `1 2 0:3 ${root} /mnt/${type} rw - ${type} none rw,${options}`)
    fc.assert(
      fc.property(
        fc.array(mount, { maxLength: 4 }),
        fc.array(membership, { maxLength: 4 }),
        text,
        (mounts, memberships, noise) => {
          parseProcCgroup(noise)
          readHost(noise, noise)
          const host = readHost(mounts.join('\n'), memberships.join('\n'))
          for (const { mountpoint, own } of [...host.legacy, ...(host.unified ? [host.unified] : [])])
            expect(within(mountpoint, own)).toBe(true)
        },
      ),
      RUNS,
    )
  })

  test('accounts: numbers that are there, and no others', () => {
    fc.assert(
      fc.property(text, (value) => {
        for (const number of parseKeyed(value).values()) expect(Number.isFinite(number)).toBe(true)
        const { read, write } = parseIo(value)
        expect([read, write].every((number) => Number.isFinite(number) && number >= 0)).toBe(true)
      }),
      RUNS,
    )
  })

  test('ids: subordinate ranges and maps are of ids that there can be', () => {
    fc.assert(
      fc.property(text, (value) => {
        const grants = parseSubIds(value)
        for (const { name, first, count } of grants) {
          expect(name).not.toMatch(/[:\n]/)
          expect(Number.isInteger(first) && Number.isInteger(count) && first + count <= ID_MAX).toBe(true)
        }
        expect(rangesOf(grants, grants).every((first) => first < ID_MAX)).toBe(true)
        for (const { containerID, hostID, size } of parseIdMap(value))
          expect([containerID, hostID, size].every((id) => Number.isInteger(id) && id >= 0)).toBe(true)
      }),
      RUNS,
    )
    expect(
      rangesOf(parseSubIds('caisson:0:99999999999999999999'), parseSubIds('caisson:0:99999999999999999999')),
    ).not.toEqual([])
  })

  test('users of an image: an id in range, whatever its files hold', async () => {
    await fc.assert(
      fc.asyncProperty(
        text,
        text,
        fc.oneof(text, fc.constantFrom('root', '0', 'a:b', '1:2')),
        async (passwd, group, spec) => {
          const user = await parsePasswdUser(spec, async (file) => (file === 'etc/passwd' ? passwd : group))
          for (const id of [user.uid, user.gid, ...user.additionalGids])
            expect(Number.isInteger(id) && id >= 0 && id <= 0x7fffffff).toBe(true)
          expect(user.home).toMatch(/^\//)
        },
      ),
      RUNS,
    )
  })
})
