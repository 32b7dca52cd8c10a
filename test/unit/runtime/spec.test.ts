import { commandLine, mergeEnvironment } from '../../../lib/runtime/options/process.js'
import { chooseCapabilities, DEFAULT_CAPABILITIES, withinBounding } from '../../../lib/spec/capabilities.js'

test.each([
  [{ Entrypoint: ['/e'], Cmd: ['a'] }, undefined, undefined, ['/e', 'a']],
  [{ Entrypoint: ['/e'], Cmd: ['a'] }, undefined, ['b', 'c'], ['/e', 'b', 'c']],
  [{ Entrypoint: ['/e'], Cmd: ['a'] }, ['/x'], undefined, ['/x']],
  [{ Entrypoint: ['/e'], Cmd: ['a'] }, ['/x'], ['b'], ['/x', 'b']],
  [{ Entrypoint: ['/e'], Cmd: ['a'] }, [], ['b'], ['b']],
  [{ Cmd: ['a'] }, undefined, undefined, ['a']],
])('the command of %p with entrypoint %p and command %p', (image, entrypoint, command, expected) => {
  expect(commandLine(image, entrypoint, command)).toEqual(expected)
})

test('no command at all', () => {
  expect(() => commandLine({}, undefined, undefined)).toThrow(
    expect.objectContaining({ code: 'ERR_CAISSON_INVALID_ARGUMENT' }),
  )
})

test('environments are merged, later ones win', () => {
  expect(mergeEnvironment({ A: '1', B: '2' }, ['B=3', 'C=4=5', 'D'], { A: undefined, E: '' })).toEqual([
    'B=3',
    'C=4=5',
    'D=',
    'E=',
  ])
})

test("capabilities by Docker's rules", () => {
  expect(chooseCapabilities()).toEqual(expect.arrayContaining([...DEFAULT_CAPABILITIES]))
  expect(chooseCapabilities([], ['all'])).toEqual([])
  expect(chooseCapabilities(['net_admin'], ['ALL'])).toEqual(['CAP_NET_ADMIN'])
  expect(chooseCapabilities(['ALL'], ['SYS_ADMIN'])).not.toContain('CAP_SYS_ADMIN')
  expect(chooseCapabilities(['CAP_SYS_TIME'], ['MKNOD'])).toEqual(expect.arrayContaining(['CAP_SYS_TIME']))
  expect(() => chooseCapabilities(['FLY'])).toThrow(expect.objectContaining({ code: 'ERR_CAISSON_INVALID_ARGUMENT' }))
  expect(withinBounding(['CAP_CHOWN', 'CAP_SYS_ADMIN'], '0000000000000001')).toEqual(['CAP_CHOWN'])
})
