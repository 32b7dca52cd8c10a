/** Uploads that break, and registries that have their own ideas of them. */
import { randomBytes } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { RegistryClient } from '../../../lib/registry/client.js'
import type { BlobSource } from '../../../lib/registry/content.js'
import { MEDIA_TYPES } from '../../../lib/spec/media-types.js'
import { describeBytes, referenceTo, sha256 } from '../../support/images.js'
import { serve } from '../../support/servers.js'

const blob = randomBytes(1_000_000)
const descriptor = describeBytes(MEDIA_TYPES.ociLayer, blob)
const CHUNK = 200_000

const source: BlobSource & { open: number } = {
  open: 0,
  async *read(offset) {
    source.open++
    try {
      for (let at = offset; at < blob.length; at += 50_000) yield blob.subarray(at, Math.min(at + 50_000, blob.length))
    } finally {
      source.open--
    }
  },
}

/** Keeps what is sent to it; `meddle` may answer in its place, and says so. */
function storage(
  meddle: (request: IncomingMessage, response: ServerResponse, kept: Buffer) => boolean | Promise<boolean> = () =>
    false,
) {
  const state = { kept: Buffer.alloc(0), committed: undefined as Buffer | undefined }
  const handler = async (request: IncomingMessage, response: ServerResponse) => {
    if (request.url === '/v2/') return void response.end('{}')
    if (request.method === 'HEAD') return void response.writeHead(404).end()
    if (request.method === 'POST') state.kept = Buffer.alloc(0)
    if (await meddle(request, response, state.kept)) return
    const append = async () => {
      try {
        for await (const chunk of request) state.kept = Buffer.concat([state.kept, chunk])
      } catch {
        // Cut off: what came is kept.
      }
    }
    await append()
    const range = { Range: `0-${Math.max(state.kept.length - 1, 0)}`, Location: '/v2/team/app/blobs/uploads/1?state=x' }
    if (request.method === 'PUT') {
      const wanted = new URL(request.url ?? '', 'http://x').searchParams.get('digest')
      if (sha256(state.kept) !== wanted)
        return void response.writeHead(400).end('{"errors":[{"code":"DIGEST_INVALID"}]}')
      state.committed = state.kept
      return void response.writeHead(201).end()
    }
    response.writeHead(request.method === 'GET' ? 204 : 202, range).end()
  }
  return { state, handler }
}

async function uploading(
  made: ReturnType<typeof storage>,
  options: { chunkSize?: number; signal?: AbortSignal } = { chunkSize: CHUNK },
) {
  await using server = await serve(made.handler)
  using client = new RegistryClient({
    env: { HOME: '/nonexistent', REGISTRY_AUTH_FILE: '/nonexistent/auth.json' },
    retry: { attempts: 4, delay: 1, longest: 5 },
    timeouts: { idle: 500, response: 2000 },
  })
  const code = await client.pushBlob(referenceTo(server.host), descriptor, source, options).then(
    (uploaded) => uploaded as string,
    (error) => error.code ?? String(error),
  )
  await new Promise((resolve) => setTimeout(resolve, 20))
  const methods = server.requests.filter(({ url }) => url !== '/v2/').map(({ method }) => method)
  return { code, methods, requests: server.requests, committed: made.state.committed?.equals(blob) ?? false }
}

afterEach(() => expect(source.open).toBe(0))

test('whole, and in chunks of the size that is wanted', async () => {
  const whole = await uploading(storage(), {})
  expect([whole.code, whole.methods, whole.committed]).toEqual(['uploaded', ['HEAD', 'POST', 'PUT'], true])
  const chunks = await uploading(storage())
  const five = new Array(5).fill('PATCH')
  expect([chunks.code, chunks.methods, chunks.committed]).toEqual(['uploaded', ['HEAD', 'POST', ...five, 'PUT'], true])
  expect(chunks.requests.find(({ method }) => method === 'PATCH')?.headers['content-range']).toBe('0-199999')
})

test('the least size of chunks that a registry names', async () => {
  const large = await uploading(
    storage((request, response) => {
      if (request.method !== 'POST') return false
      response.writeHead(202, { Location: '/v2/team/app/blobs/uploads/1', 'OCI-Chunk-Min-Length': '500000' }).end()
      return true
    }),
  )
  expect([large.code, large.methods.filter((method) => method === 'PATCH').length]).toEqual(['uploaded', 2])
})

test('one that breaks goes on with what the registry has', async () => {
  let broken = 0
  const made = storage(async (request, _, kept) => {
    if (request.method !== 'PATCH' || kept.length < CHUNK || broken > 1) return false
    broken++
    let came = 0
    for await (const chunk of request) {
      made.state.kept = Buffer.concat([made.state.kept, chunk])
      came += chunk.length
      if (came > 60_000) break
    }
    request.socket.destroy()
    return true
  })
  const { code, methods, committed } = await uploading(made)
  expect([code, committed, broken]).toEqual(['uploaded', true, 2])
  expect(methods.filter((method) => method === 'POST').length).toBe(1)
  expect(methods.filter((method) => method === 'GET').length).toBe(2)
})

test('one in one piece that breaks begins anew', async () => {
  let broken = 0
  const made = storage((request) => {
    if (request.method !== 'PUT' || broken++ > 0) return false
    request.socket.destroy()
    return true
  })
  const { code, methods, committed } = await uploading(made, {})
  expect([code, committed, methods]).toEqual(['uploaded', true, ['HEAD', 'POST', 'PUT', 'POST', 'PUT']])
})

test.each([404, 405, 501])('a registry that answers %i to chunks gets it whole', async (status) => {
  const made = storage((request, response) => {
    if (request.method !== 'PATCH') return false
    response.writeHead(status).end()
    return true
  })
  const { code, committed, methods } = await uploading(made)
  expect([code, committed, methods.at(-1)]).toEqual(['uploaded', true, 'PUT'])
})

test('lies about how much has come are no endless upload', async () => {
  for (const range of ['0-999999999', '0-0', 'x']) {
    const made = storage(async (request, response) => {
      if (request.method !== 'PATCH') return false
      for await (const _ of request);
      response.writeHead(202, { Range: range, Location: '/v2/team/app/blobs/uploads/1' }).end()
      return true
    })
    const { code, methods } = await uploading(made)
    expect(code).toMatch(/^ERR_CAISSON_REGISTRY/)
    expect(methods.length).toBeLessThan(60)
  }
})

test('one that forgets what it had, again and again, is given up', async () => {
  const made = storage(async (request, response, kept) => {
    if (request.method === 'GET') {
      made.state.kept = Buffer.alloc(0)
      response.writeHead(204, { Range: '0-0', Location: '/v2/team/app/blobs/uploads/1' }).end()
      return true
    }
    if (request.method !== 'PATCH' || kept.length === 0) return false
    request.socket.destroy()
    return true
  })
  const { code, committed } = await uploading(made)
  expect([code, committed]).toEqual(['ERR_CAISSON_REGISTRY_UNREACHABLE', false])
})

test('a registry that takes nothing, and an abort, end it', async () => {
  const deaf = storage((request) => request.method === 'PUT')
  // It reads nothing and says nothing.
  const { code } = await uploading(deaf, { signal: AbortSignal.timeout(300) })
  expect(code).toBe('ERR_CAISSON_ABORTED')
})
