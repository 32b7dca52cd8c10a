import { mergedConfig } from '../../../lib/engine/merged-config.js'

const IMAGE = {
  Cmd: ['serve'],
  Entrypoint: ['/program'],
  ExposedPorts: { '80/tcp': {} },
  Volumes: { '/data': {} },
  StopSignal: 'SIGINT',
}

test.each([
  ['nothing', {}, IMAGE, { Entrypoint: ['/program'], Cmd: ['serve'], StopSignal: 'SIGINT', Volumes: IMAGE.Volumes }],
  ['empty values', { Cmd: null, Entrypoint: [] }, IMAGE, { Entrypoint: ['/program'], Cmd: ['serve'] }],
  ['a command', { Cmd: ['sh'] }, IMAGE, { Entrypoint: ['/program'], Cmd: ['sh'] }],
  ['a program', { Entrypoint: ['sh'] }, IMAGE, { Entrypoint: ['sh'], Cmd: null }],
  ['both', { Entrypoint: ['sh'], Cmd: ['-c'] }, IMAGE, { Entrypoint: ['sh'], Cmd: ['-c'] }],
  ['a port', { ExposedPorts: { '81/udp': {} } }, IMAGE, { ExposedPorts: { '80/tcp': {}, '81/udp': {} } }],
  ['a signal', { StopSignal: 'SIGTERM', Image: 'x' }, IMAGE, { StopSignal: 'SIGTERM', Image: 'x' }],
  ['nothing, of an image that says nothing', {}, {}, { Entrypoint: null, Cmd: null, Volumes: null }],
])('a client that says %s', (_, config, image, told) => {
  expect(mergedConfig(config, image)).toMatchObject(told)
})

test('what nobody has said is left out', () => {
  const told = mergedConfig({}, {})
  expect([told.ExposedPorts, told.Healthcheck, told.StopSignal]).toEqual([undefined, undefined, undefined])
})
