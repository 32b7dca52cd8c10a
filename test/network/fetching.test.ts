/** Where a Dockerfile, and a server that it names, have the builder go: it is on the host, which its commands are not. */
import { createServer } from 'node:http'
import { Image } from '../../lib/index.js'
import { attempt, Lan, noLan, SERVER, shell, THERE, until } from '../support/lan.js'
import { testIf } from '../support/needs.js'

const it = testIf(noLan)
const lan = Lan.forTests()

/** Answers every request with the way to another place, which is in its path: `/to/127.0.0.1:9002`. */
const LEADING = [
  'python3',
  '-u',
  '-c',
  `
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(302); self.send_header('Location', 'http://' + self.path[4:]); self.end_headers()
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(('', 9001), Handler).serve_forever()
`,
]

describe('addresses in a Dockerfile', () => {
  beforeAll(async () => {
    if (noLan) return
    shell('ip address add 169.254.169.254/32 dev lo')
    lan.background('there', SERVER('elsewhere', 9000))
    lan.background('there', LEADING)
    lan.background('here', ['python3', '-m', 'http.server', '9002', '--bind', '127.0.0.1', '--directory', '/etc'])
    lan.background('here', SERVER('keys of a cloud', 80))
    await until(
      () => attempt(`curl -s localhost:9002 && curl -s 169.254.169.254 && curl -s ${THERE}:9001/to/x`) !== undefined,
    )
  })
  afterAll(() => {
    if (noLan) return
    attempt('ip address del 169.254.169.254/32 dev lo')
  })

  const add = (address: string) =>
    Image.build({ dockerfile: { text: `FROM scratch\nADD http://${address} /fetched\n` } }).then(
      () => 'fetched',
      ({ code, message }) => `${code} ${message}`,
    )

  it('lead to servers, and a server leads to others that are not nearer than it is', async () => {
    expect(await add(`${THERE}:9000/x`)).toBe('fetched')
    expect(await add(`${THERE}:9001/to/${THERE}:9000/x`)).toBe('fetched')
    expect(await add('127.0.0.1:9002/hostname')).toBe('fetched')
    for (const near of [
      '127.0.0.1:9002/hostname',
      'localhost:9002/hostname',
      '[::1]:9002/hostname',
      '169.254.169.254/x',
    ])
      expect(await add(`${THERE}:9001/to/${near}`)).toMatch(/^ERR_CAISSON_FILE .*not connected to/)
    // Back in by a server of ours.
    const server = createServer((_, response) => {
      response.writeHead(302, { Location: `http://${THERE}:9001/to/127.0.0.1:9002/hostname` }).end()
    }).listen(9003, '127.0.0.1')
    expect(await add('127.0.0.1:9003/x')).toMatch(/^ERR_CAISSON_FILE .*not connected to/)
    server.close()
  })

  it('lead to no metadata service of a cloud', async () => {
    expect(await add('169.254.169.254/x')).toMatch(/^ERR_CAISSON_FILE .*not connected to: 169.254.169.254 is a special/)
  })
})
