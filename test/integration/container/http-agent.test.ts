import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { Container, Image, Wait } from '../../../lib/index.js'

test('clients of HTTP talk to a container that publishes nothing', async () => {
  const server = await Container.create(await Image.host(), {
    command: ['python3', '-m', 'http.server', '8000', '--directory', '/srv'],
    files: { '/srv/index.html': 'hello' },
  })
  try {
    await server.start()
    await server.waitFor(Wait.port(8000))
    const agent = server.httpAgent({ keepAlive: true })
    const get = async (url: string) => {
      const [response] = (await once(request(url, { agent }).end(), 'response')) as [IncomingMessage]
      let body = ''
      for await (const chunk of response) body += chunk
      return body
    }
    expect(await get('http://anything:8000/')).toBe('hello')
    await expect(get('http://anything:8001/')).rejects.toMatchObject({ cause: { code: 'ECONNREFUSED' } })
    agent.destroy()
    const socket = await new Promise((resolve, reject) =>
      server.connector()({ port: '8000' }, (error, socket) => (error ? reject(error) : resolve(socket))),
    )
    ;(socket as { destroy(): void }).destroy()
  } finally {
    await server.remove({ force: true })
  }
})
