import { parsePublish } from '../../../lib/cli/port-values.js'

const tcp = 'tcp' as const
const udp = 'udp' as const

test.each([
  ['80', [{ container: 80, protocol: tcp, address: '*' }]],
  ['8080:80', [{ container: 80, host: 8080, protocol: tcp, address: '*' }]],
  ['127.0.0.1:8080:80/udp', [{ container: 80, host: 8080, protocol: udp, address: '127.0.0.1' }]],
  ['127.0.0.1::80', [{ container: 80, protocol: tcp, address: '127.0.0.1' }]],
  ['[::1]:8080:80', [{ container: 80, host: 8080, protocol: tcp, address: '::1' }]],
  ['0:80', [{ container: 80, protocol: tcp, address: '*' }]],
  ['80/', [{ container: 80, protocol: tcp, address: '*' }]],
  [
    '9000-9001:80-81',
    [
      { container: 80, host: 9000, protocol: tcp, address: '*' },
      { container: 81, host: 9001, protocol: tcp, address: '*' },
    ],
  ],
  ['8000-9000:80', [{ container: 80, host: '8000-9000', protocol: tcp, address: '*' }]],
  ['[::1]:8000-8001:53/udp', [{ container: 53, host: '8000-8001', protocol: udp, address: '::1' }]],
])('-p %s', (text, ports) => {
  expect(parsePublish(text)).toEqual(ports)
})

test.each([
  '',
  'x',
  '80/sctp',
  '0',
  '65536',
  '80-79',
  '8000-8002:80-81',
  '1:2:3:4',
  '80:',
  'host:80:80',
  ':80:x',
  '-80',
  '80/tcp/udp',
  '[::1]:1:2:3',
])('-p %j is refused', (text) => {
  expect(() => parsePublish(text)).toThrow('--publish')
})
