/** Sizes of volumes, on file systems that hold them and on ones that do not. */
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Volume } from '../../../lib/index.js'
import { findProgram, isRoot, testIf } from '../../support/needs.js'

const MIB = 1 << 20
const EPERM = 1
const EINVAL = 22
const EDQUOT = 122
const ENOSPC = 28

type Type = keyof typeof MAKE
const MAKE = {
  ext4: 'mkfs.ext4 -q -F -O quota,project -E quotatype=prjquota',
  plain: 'mkfs.ext4 -q -F',
  xfs: 'mkfs.xfs -q -f',
}

const directory = mkdtempSync(path.join(tmpdir(), 'caisson-quota-'))
afterAll(() => rmSync(directory, { recursive: true, force: true }))

/** Runs `words` where a new file system of its own is mounted, which nobody else sees; CAISSON_ROOT lies on it. */
function onFileSystem(type: Type, option: string, words: readonly string[]) {
  const image = path.join(directory, `${type}.img`)
  const at = path.join(directory, type)
  mkdirSync(at, { recursive: true })
  writeFileSync(image, '')
  truncateSync(image, 400 * MIB)
  const script = `${MAKE[type]} "$1" && mount -o loop,${option} "$1" "$2" && mkdir "$2/root" && shift 2 && exec "$@"`
  const own = ['--mount', '--propagation', 'private', 'sh', '-c', script, 'sh', image, at]
  const env = { ...process.env, CAISSON_ROOT: path.join(at, 'root') }
  const { status, stdout, stderr } = spawnSync('unshare', [...own, ...words], { env, encoding: 'utf8' })
  return { status, stdout, stderr, at }
}

/** Why such a file system cannot be mounted here. */
function missing(type: Type): string | false {
  if (!isRoot) return 'only root sets quotas'
  if (!findProgram(`mkfs.${type}`)) return `mkfs.${type} is not installed`
  if (onFileSystem(type, 'prjquota', ['true']).status === 0) return false
  return `the kernel has no quotas of projects on ${type}, or no loop devices`
}

/** Who gets at a volume is looked at once; that it is bounded, on each file system. */
const BRIEF = { ext4: [], xfs: ['brief'] }
const ATTEMPTS = ['Run', 'Exec', 'User', 'Neighbour', 'Unconfined', 'Inside'].map((who) => `escapeBy${who}`)

describe('sizes of volumes', () => {
  for (const type of ['ext4', 'xfs'] as const)
    testIf(missing(type))(
      `hold on ${type}, whatever a program in the container does`,
      async () => {
        const script = path.join(import.meta.dirname, '../../support/quota.mjs')
        const { status, stdout, stderr } = onFileSystem(type, 'prjquota', [process.execPath, script, ...BRIEF[type]])
        expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
        const seen = JSON.parse(stdout)
        const full = type === 'ext4' ? EDQUOT : ENOSPC
        const isFull = new RegExp(`^83\\d{5} ${full}$`)
        expect(seen.size).toBe(8 * MIB)
        expect(seen.written).toMatch(isFull)
        expect(seen.usage).toBeLessThanOrEqual(8 * MIB)
        const attempts = BRIEF[type].length > 0 ? ['escapeByRun'] : ATTEMPTS
        for (const by of attempts) {
          const { ways, rest } = escapeOf(seen[by])
          expect({ by, ways, rest }).toEqual({
            by,
            ways: Array(3).fill(by === 'escapeByInside' ? EINVAL : EPERM),
            rest: expect.stringMatching(isFull),
          })
        }
        expect(seen.escapeWeakened).toBe(`[0, 0, 0] ${32 * MIB} 0`)
        // As many as it has blocks, with its own directory.
        expect(seen.files).toBe(`2047 ${full}`)
        expect(seen.otherSize).toMatch(/^ERR_CAISSON_NAME_IN_USE: .* already, of 8388608 bytes$/)
        expect(seen.sameSize).toBe('done')
        expect(seen.unbounded).toMatch(/^ERR_CAISSON_NAME_IN_USE: .* already, without a size$/)
        expect(seen.unnamed).toMatch(new RegExp(`^20\\d{5} ${full}$`))
        expect(seen.left).toEqual(['bounded', 'free'])
        expect([seen.bounds, seen.boundsAfterwards]).toEqual([String((8 * MIB) / 512), '0'])
      },
      120_000,
    )

  testIf(!isRoot && 'only root mounts ext4')('are an error where the file system only could hold them', async () => {
    const script = `import(${JSON.stringify(path.resolve('dist/index.js'))}).then(async ({ Volume }) => {
      const { code, message, stage, hint, cause } = await Volume.create({ name: 'x1', size: '1m' }).catch((error) => error)
      console.log(JSON.stringify({ code, message, stage, hint, cause, left: (await Volume.list()).length }))
    })`
    const { at, ...ended } = onFileSystem('plain', 'rw', [process.execPath, '-e', script])
    expect(ended).toMatchObject({ status: 0, stderr: '' })
    expect(JSON.parse(ended.stdout)).toEqual({
      code: 'ERR_CAISSON_LIMIT_UNAVAILABLE',
      message: `the size of volume x1 cannot be bounded: ext4 on ${at} holds no quotas of projects`,
      stage: 'quota',
      hint: expect.stringMatching(/tune2fs -O project,quota -Q prjquota \/dev\/loop\d+; mount -o prjquota /),
      cause: { code: 'ENOSYS', errno: -38, syscall: 'quotactl_fd', path: expect.stringContaining('/x1/data') },
      left: 0,
    })
  })

  test('are an error for who may set none, and on file systems that have none; nothing is left', async () => {
    const { name } = path.parse(directory)
    const error = await Volume.create({ name, size: '1m' }).catch((error) => error)
    expect(error).toMatchObject({ code: 'ERR_CAISSON_LIMIT_UNAVAILABLE', stage: 'quota' })
    expect(error.message).toContain(`volume ${name}`)
    await expect(Volume.get(name)).rejects.toMatchObject({ code: 'ERR_CAISSON_VOLUME_NOT_FOUND' })
  })

  test.each([0, -1, '1 lot', null])('of %p are refused', async (size) => {
    await expect(Volume.create({ size: size as never })).rejects.toMatchObject({ code: 'ERR_CAISSON_INVALID_ARGUMENT' })
  })
})

/** What an attempt printed: an error for each way, bytes that it wrote then, and how that ended. */
function escapeOf(printed: string): { ways: number[]; rest: string } {
  const [, ways = '', rest = ''] = /^\[(.*?)\] (.*)$/.exec(printed) ?? []
  return { ways: ways.split(',').map(Number), rest: rest || printed }
}
