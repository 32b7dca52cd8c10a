import { chmodSync, chownSync, mkdirSync, symlinkSync } from 'node:fs'
import path from 'node:path'
import { roots } from '../../../lib/util/roots.js'
import { isRoot, testIf } from '../../support/needs.js'
import { removeScratch, scratch } from '../../support/tree.js'

afterAll(removeScratch)

test('CAISSON_ROOT decides, then who we are', () => {
  expect(roots({ CAISSON_ROOT: '/none/x' }, 0)).toEqual({ data: '/none/x', run: '/none/x/run' })
  expect(roots({}, 0)).toEqual({ data: '/var/lib/caisson', run: '/run/caisson' })
  const own = roots({ XDG_DATA_HOME: '/none/d', XDG_RUNTIME_DIR: '/none/r' }, 1000)
  expect(own).toEqual({ data: '/none/d/caisson', run: '/none/r/caisson' })
})

test.each(['/proc/x', '/proc/self/root/proc/x/y', '/proc'])('%s is refused: mkdir would go on for ever', (place) => {
  for (const env of [{ CAISSON_ROOT: place }, { XDG_DATA_HOME: place }])
    expect(() => roots(env, 1000)).toThrow(
      expect.objectContaining({ code: 'ERR_CAISSON_INVALID_ARGUMENT', stage: 'start' }),
    )
})

describe('a place where others may write is refused', () => {
  const made = (at: string, mode: number) => {
    mkdirSync(at, { recursive: true })
    chmodSync(at, mode)
    return at
  }
  const use = (place: string) => roots({ CAISSON_ROOT: place })
  const refused = (place: string, message: RegExp) =>
    expect(() => use(place)).toThrow(
      expect.objectContaining({
        code: 'ERR_CAISSON_PERMISSION',
        stage: 'start',
        message: expect.stringMatching(message),
      }),
    )

  test('itself, or what it lies in', () => {
    const top = scratch()
    use(made(path.join(top, 'mine'), 0o711))
    refused(made(path.join(top, 'open'), 0o777), /everybody/)
    refused(path.join(top, 'open/mine/below'), /\/open may be written to by everybody/)
    // As /tmp: what is there is its owner's, and what is not is anybody's.
    refused(made(path.join(top, 'temporary'), 0o1777), /everybody/)
    use(made(path.join(top, 'temporary/mine'), 0o711))
    use(path.join(top, 'temporary/later'))
    made(path.join(top, 'temporary/later'), 0o777)
    refused(path.join(top, 'temporary/later'), /everybody/)
  })

  test('by a link: where that lies, and where it leads', () => {
    const top = scratch()
    const open = made(path.join(top, 'open'), 0o777)
    const mine = made(path.join(top, 'mine'), 0o711)
    symlinkSync(mine, path.join(open, 'link'))
    refused(path.join(open, 'link'), /\/open /)
    symlinkSync(open, path.join(mine, 'link'))
    refused(path.join(mine, 'link/below'), /\/open /)
    symlinkSync(mine, path.join(top, 'link'))
    use(path.join(top, 'link'))
  })

  testIf(!isRoot && 'only root can give files away')('by another user, or a group', async () => {
    const top = scratch()
    const theirs = made(path.join(top, 'theirs'), 0o755)
    chownSync(theirs, 1234, 0)
    refused(theirs, /belongs to user 1234/)
    refused(path.join(theirs, 'below'), /belongs to user 1234/)
    const shared = made(path.join(top, 'shared'), 0o775)
    use(shared)
    const groups = made(path.join(top, 'groups'), 0o755)
    chownSync(groups, 0, 1234)
    chmodSync(groups, 0o775)
    refused(groups, /group 1234/)
  })
})
