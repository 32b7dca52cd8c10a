/**
 * All files of a container as one archive: those of its image and what it has changed. What is mounted in it is not its own,
 * so that an archive of the running one would hold too much.
 */
import { PassThrough } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { Call } from './call.js'
import type { Route } from './router.js'

export const containerExportRoutes: Route[] = [{ method: 'GET', path: '/containers/{id}/export', handler: exported }]

async function exported(call: Call): Promise<void> {
  const { container } = await call.state.find(call.parameter('id'))
  const { build } = await import('../build/build.js')
  const committed = await container.commit({ signal: call.gone })
  let image = committed
  try {
    call.response.setHeader('Content-Type', 'application/x-tar')
    const dest = new PassThrough()
    const [made] = await Promise.all([
      build({
        dockerfile: { text: 'FROM committed' },
        contexts: { committed },
        output: { type: 'tar', dest },
        signal: call.gone,
      }).catch((error) => {
        dest.destroy(error)
        throw error
      }),
      // A failure in the middle can only be told by an end without the last chunk.
      pipeline(dest, call.response, { end: false }),
    ])
    image = made
  } finally {
    await committed.remove()
    if (image.id !== committed.id) await image.remove()
  }
  call.response.end()
  call.state.events.tell('container', 'export', container.id, { name: container.name, image: container.image })
}
