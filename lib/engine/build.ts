/** Builds: a context as the body, and what becomes of it told line by line (the classic builder of docker's clients). */
import { familiarReference } from '../reference/format.js'
import { parseReference } from '../reference/parse.js'
import { BuildLines } from './build-lines.js'
import { buildOptions } from './build-options.js'
import type { Call } from './call.js'
import { contextBody } from './context-body.js'
import { badRequest } from './failure.js'
import { telling } from './progress.js'
import type { Route } from './router.js'

export const buildRoutes: Route[] = [{ method: 'POST', path: '/build', handler: build }]

/** Digits of an id, as docker writes them. */
const SHOWN = 12
const ARCHIVES = /^application\/((x-)?(tar|gzip)|octet-stream)\s*(;|$)/i

async function build(call: Call): Promise<void> {
  const type = call.headers['content-type']
  // A form of a web page cannot have this type.
  if (!ARCHIVES.test(type ?? '')) throw badRequest(`Content-Type is not application/x-tar, but ${type ?? 'missing'}`)
  const options = buildOptions(call)
  const names = [options.tag ?? []].flat().map((name) => familiarReference(parseReference(name)))
  const quiet = call.flag('q')
  const builder = await import('../build/build.js')
  await telling(call, async (tell) => {
    const lines = new BuildLines({ tell, waiting: () => call.response.writableLength })
    const onProgress = quiet ? undefined : lines.take.bind(lines)
    const image = await builder.build(
      { ...options, context: contextBody(call.request), signal: call.gone, ...(onProgress ? { onProgress } : {}) },
      { contextOnly: true },
    )
    // What comes behind the end of the archive.
    call.request.resume()
    call.state.events.tell('image', 'build', image.id, { name: names[0] ?? image.id })
    for (const name of names) call.state.events.tell('image', 'tag', image.id, { name })
    if (quiet) return tell({ stream: `${image.id}\n` })
    tell({ aux: { ID: image.id } })
    tell({ stream: `Successfully built ${image.id.replace('sha256:', '').slice(0, SHOWN)}\n` })
    for (const name of names) tell({ stream: `Successfully tagged ${name}\n` })
  })
}
