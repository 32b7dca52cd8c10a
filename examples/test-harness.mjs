// A test suite that throws containers away: each test gets a server of its own, reached without a published port.
//   node --test examples/test-harness.mjs
import assert from 'node:assert/strict'
import { Agent, get } from 'node:http'
import { test } from 'node:test'
import { Container, Image, Wait } from 'caisson'

/** A small HTTP server that counts its visitors in a file. */
const SERVER = `
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        with open('/data/count', 'a+') as file:
            file.write('x'); file.seek(0); count = len(file.read())
        self.send_response(200); self.end_headers(); self.wfile.write(str(count).encode())
print('serving', flush=True)
http.server.HTTPServer(('127.0.0.1', 8080), Handler).serve_forever()
`

async function startServer(files = {}) {
  const container = await Container.create(await Image.host(), {
    command: ['python3', '/srv/server.py'],
    files: { '/srv/server.py': SERVER, '/data/count': '', ...files },
  })
  await container.start()
  await container.waitFor(Wait.port(8080, { timeout: '10s' }))
  return container
}

async function ask(container) {
  const socket = await container.connect(8080)
  const agent = Object.assign(new Agent(), { createConnection: () => socket })
  return new Promise((resolve, reject) => {
    get({ agent, path: '/' }, (response) => {
      let body = ''
      response.on('data', (chunk) => {
        body += chunk
      })
      response.on('end', () => resolve(body))
    }).on('error', reject)
  })
}

test('a new server has no visitors', async () => {
  const server = await startServer()
  try {
    assert.equal(await ask(server), '1')
    assert.equal(await ask(server), '2')
  } finally {
    await server[Symbol.asyncDispose]()
  }
})

test('a server with a past goes on from there', async () => {
  const server = await startServer({ '/data/count': 'xxxxx' })
  try {
    assert.equal(await ask(server), '6')
    assert.equal(await server.fs.readFile('/data/count', 'utf8'), 'xxxxxx')
  } finally {
    await server[Symbol.asyncDispose]()
  }
})
