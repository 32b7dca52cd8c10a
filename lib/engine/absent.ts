/** Operations of the Engine API that are not here, each with an answer that says so. */
import { ApiError, notImplemented } from './failure.js'
import type { Handler, Route } from './router.js'

function absent(method: string, path: string, what: string, hint?: string): Route {
  const handler: Handler = () => {
    throw notImplemented(what, hint)
  }
  return { method, path, handler }
}

/** As dockerd answers where there is no swarm. */
const noSwarm: Handler = () => {
  throw new ApiError(503, 'This node is not a swarm manager.')
}

/** As dockerd answers where there are none: `docker inspect` asks here last for what it has found nowhere. */
const noPlugin: Handler = (call) => {
  throw new ApiError(404, `plugin ${call.parameter('name').slice(0, 200)} not found`)
}

const SWARM: ReadonlyArray<[methods: string, path: string]> = [
  ['GET', '/nodes'],
  ['GET DELETE', '/nodes/{id}'],
  ['POST', '/nodes/{id}/update'],
  ['GET', '/swarm'],
  ['POST', '/swarm/init'],
  ['POST', '/swarm/join'],
  ['POST', '/swarm/leave'],
  ['POST', '/swarm/update'],
  ['GET', '/swarm/unlockkey'],
  ['POST', '/swarm/unlock'],
  ['GET', '/services'],
  ['POST', '/services/create'],
  ['GET DELETE', '/services/{id}'],
  ['POST', '/services/{id}/update'],
  ['GET', '/services/{id}/logs'],
  ['GET', '/tasks'],
  ['GET', '/tasks/{id}'],
  ['GET', '/tasks/{id}/logs'],
  ['GET', '/secrets'],
  ['POST', '/secrets/create'],
  ['GET DELETE', '/secrets/{id}'],
  ['POST', '/secrets/{id}/update'],
  ['GET', '/configs'],
  ['POST', '/configs/create'],
  ['GET DELETE', '/configs/{id}'],
  ['POST', '/configs/{id}/update'],
]

const PLUGINS: ReadonlyArray<[methods: string, path: string]> = [
  ['GET', '/plugins/privileges'],
  ['POST', '/plugins/pull'],
  ['POST', '/plugins/create'],
  ['POST', '/plugins/{name}/enable'],
  ['POST', '/plugins/{name}/disable'],
  ['POST', '/plugins/{name}/upgrade'],
  ['POST', '/plugins/{name}/push'],
  ['POST', '/plugins/{name}/set'],
  ['DELETE', '/plugins/{name}'],
]

export const absentRoutes: Route[] = [
  ...SWARM.flatMap(([methods, path]) => methods.split(' ').map((method) => ({ method, path, handler: noSwarm }))),
  { method: 'GET', path: '/plugins', handler: (call) => call.json([]) },
  { method: 'GET', path: '/plugins/{name}/json', handler: noPlugin },
  ...PLUGINS.map(([method, path]) => absent(method, path, 'a plugin')),
  absent('GET', '/containers/{id}/attach/ws', 'attaching by a WebSocket', 'Attach with Upgrade: tcp'),
  absent('POST', '/session', 'a session of BuildKit', 'Set DOCKER_BUILDKIT=0'),
  absent('POST', '/grpc', 'BuildKit', 'Set DOCKER_BUILDKIT=0'),
  absent('GET', '/images/search', 'a search'),
  absent('GET', '/images/{name}/attestations', 'an attestation'),
  absent('GET', '/distribution/{name}/json', 'asking a registry about an image'),
  absent('PUT', '/volumes/{id}', 'a cluster volume'),
]
