/** Paths, versions, senders, and the form of streams. */
import { absentRoutes } from '../../../lib/engine/absent.js'
import { goMode } from '../../../lib/engine/container-files.js'
import { ApiError } from '../../../lib/engine/failure.js'
import { checkSender } from '../../../lib/engine/guard.js'
import { Router } from '../../../lib/engine/router.js'
import { allRoutes } from '../../../lib/engine/server.js'
import { frame } from '../../../lib/engine/stream-format.js'
import { versionIn } from '../../../lib/engine/versions.js'
import { cases, casesOf } from '../../support/cases.js'

const nothing = () => undefined
const router = new Router([
  { method: 'GET', path: '/images/json', handler: nothing },
  { method: 'GET', path: '/images/{name}/json', handler: nothing },
  { method: 'GET', path: '/containers/{id}/json', handler: nothing },
])
const statusOf = (work: () => unknown) => {
  try {
    work()
    return 200
  } catch (error) {
    return (error as ApiError).status
  }
}

test('names of images have slashes, ids have none', () => {
  expect(router.find('GET', '/images/a/b/c:1/json').parameters).toEqual({ name: 'a/b/c:1' })
  expect(router.find('GET', '/images/localhost%3A5000%2Fa/json').parameters).toEqual({ name: 'localhost:5000/a' })
  expect(statusOf(() => router.find('GET', '/containers/a/b/json'))).toBe(404)
  expect(statusOf(() => router.find('POST', '/images/json'))).toBe(405)
})

test.each([
  ['/containers/../json', 400],
  ['/images/..%2f..%2fetc/json', 400],
  ['/containers/%00/json', 400],
  ['/containers/%0a/json', 400],
  ['/containers/%ff/json', 400],
  [`/containers/${'a'.repeat(5000)}/json`, 414],
  ['/nowhere', 404],
])('%s is refused', (path, status) => expect(statusOf(() => router.find('GET', path))).toBe(status))

test.each([
  ['/info', '/info'],
  ['/v1.24/info', '/info'],
  ['/v1.47/info', '/info'],
])('%s is of a version that is spoken', (given, path) => expect(versionIn(given).path).toBe(path))

test.each(['/v1.23/info', '/v1.99/info', '/v2.0/info'])('%s is not', (given) =>
  expect(statusOf(() => versionIn(given))).toBe(400),
)

test('a piece of output has its stream and its length before it', () => {
  expect(frame('stderr', Buffer.from('abc'))).toEqual(Buffer.from([2, 0, 0, 0, 0, 0, 0, 3, 97, 98, 99]))
})

test('modes are those of Go', () => {
  expect(goMode({ mode: 0o100644 })).toBe(0o644)
  expect(goMode({ mode: 0o040755 })).toBe(2 ** 31 + 0o755)
  expect(goMode({ mode: 0o120777 })).toBe(2 ** 27 + 0o777)
  expect(goMode({ mode: 0o104755 })).toBe(2 ** 23 + 0o755)
})

test('what browsers send, and names that are not ours, are refused', () => {
  const known = (name: string) => name === 'localhost'
  expect(() => checkSender({ host: 'localhost:1' }, known)).not.toThrow()
  expect(() => checkSender({}, undefined)).not.toThrow()
  for (const headers of [
    { host: 'evil.example' },
    { host: 'localhost.evil.example:80' },
    { host: '' },
    { host: 'localhost', origin: 'null' },
    { host: 'localhost', 'sec-fetch-site': 'same-origin' },
  ])
    expect(() => checkSender(headers, known)).toThrow(ApiError)
  expect(() => checkSender({ origin: 'http://a' }, undefined)).toThrow('browsers')
})

cases('engine-api-endpoints', () => {
  interface Endpoint {
    method: string
    path: string
    responses: string[]
  }
  const table = new Router(allRoutes)
  test.each(casesOf<Endpoint>('engine-api-endpoints', 'endpoints'))('$method $path has an answer', (endpoint) => {
    const path = endpoint.path.replace(/\{\w+\}/g, 'one')
    expect(typeof table.find(endpoint.method, path).handler).toBe('function')
  })
})

test('what is not there says so', () => {
  const search = absentRoutes.find(({ path }) => path.endsWith('/search'))
  expect(() => search?.handler(undefined as never)).toThrow('is not part of')
  const swarm = absentRoutes.find(({ path }) => path === '/swarm')
  expect(statusOf(() => swarm?.handler(undefined as never))).toBe(503)
})
