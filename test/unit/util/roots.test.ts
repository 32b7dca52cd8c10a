import { roots } from '../../../lib/util/roots.js'

test('CAISSON_ROOT decides, then who we are', () => {
  expect(roots({ CAISSON_ROOT: '/tmp/x' }, 0)).toEqual({ data: '/tmp/x', run: '/tmp/x/run' })
  expect(roots({}, 0)).toEqual({ data: '/var/lib/caisson', run: '/run/caisson' })
  const own = roots({ XDG_DATA_HOME: '/tmp/d', XDG_RUNTIME_DIR: '/tmp/r' }, 1000)
  expect(own).toEqual({ data: '/tmp/d/caisson', run: '/tmp/r/caisson' })
})

test.each(['/proc/x', '/proc/self/root/proc/x/y', '/proc'])('%s is refused: mkdir would go on for ever', (place) => {
  for (const env of [{ CAISSON_ROOT: place }, { XDG_DATA_HOME: place }])
    expect(() => roots(env, 1000)).toThrow(
      expect.objectContaining({ code: 'ERR_CAISSON_INVALID_ARGUMENT', stage: 'start' }),
    )
})
