/** From requests to answers: who may ask, which version, which function, and what went wrong. */
import type { IncomingMessage, RequestListener } from 'node:http'
import type { Duplex } from 'node:stream'
import { absentRoutes } from './absent.js'
import { buildRoutes } from './build.js'
import { Call, type CallParts } from './call.js'
import { containerExportRoutes } from './container-export.js'
import { containerFileRoutes } from './container-files.js'
import { engineName } from './container-json.js'
import { containerStatsRoutes } from './container-stats.js'
import { containerStreamRoutes } from './container-streams.js'
import { containerRoutes } from './containers.js'
import { diskRoutes } from './disk.js'
import { execRoutes } from './exec.js'
import { failureOf } from './failure.js'
import { checkSender, type KnownHost } from './guard.js'
import { responseOn, upgradedOf } from './hijack.js'
import { imageRoutes } from './images.js'
import { loginRoutes } from './login.js'
import { networkRoutes } from './networks.js'
import { type Route, Router } from './router.js'
import { State } from './state.js'
import { systemRoutes } from './system.js'
import { API_VERSION, versionIn } from './versions.js'
import { volumeRoutes } from './volumes.js'

export const allRoutes: readonly Route[] = [
  ...systemRoutes,
  ...diskRoutes,
  ...loginRoutes,
  ...imageRoutes,
  ...buildRoutes,
  ...containerRoutes,
  ...containerStreamRoutes,
  ...containerFileRoutes,
  ...containerExportRoutes,
  ...containerStatsRoutes,
  ...execRoutes,
  ...networkRoutes,
  ...volumeRoutes,
  ...absentRoutes,
]
const router = new Router(allRoutes)

export interface Listeners {
  request: RequestListener
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void
}

/** @param known of a server that browsers can connect to */
export function listeners(known?: KnownHost): Listeners {
  const state = new State()
  return {
    request: (request, response) => void answer({ state, request, response }, known),
    upgrade(request, socket, head) {
      const upgraded = upgradedOf(request, socket, head)
      const response = responseOn(request, socket)
      void answer({ state, request, response, upgraded }, known)
    },
  }
}

type Asked = Pick<CallParts, 'state' | 'request' | 'response' | 'upgraded'>

async function answer(asked: Asked, known: KnownHost | undefined): Promise<void> {
  const { request, response } = asked
  response.on('error', () => undefined)
  response.setHeader('Api-Version', API_VERSION)
  response.setHeader('Docker-Experimental', 'false')
  response.setHeader('Ostype', 'linux')
  response.setHeader('Server', engineName())
  // Whatever a browser may get hold of, it is no page.
  response.setHeader('X-Content-Type-Options', 'nosniff')
  try {
    checkSender(request.headers, known)
    const { pathname, query } = target(request.url ?? '/')
    const { version, path } = versionIn(pathname)
    const { handler, parameters } = router.find(request.method ?? '', path)
    await handler(new Call({ ...asked, version, parameters, query }))
  } catch (error) {
    await passBody(asked)
    refuse(asked, error)
  }
}

/** Bytes, and milliseconds. */
const PASSED_MAX = 1024 * 1024
const PASSED_LATE = 1000

/** Who is still writing a body when the connection ends never reads why: a small one is let pass before the answer. */
async function passBody({ request, upgraded }: Asked): Promise<void> {
  if (upgraded || request.complete || request.destroyed) return
  if (Number(request.headers['content-length'] ?? 0) > PASSED_MAX) return
  await new Promise<void>((resolve) => {
    let size = 0
    const count = (chunk: Buffer) => {
      size += chunk.length
      if (size > PASSED_MAX) over()
    }
    const over = () => {
      clearTimeout(late)
      request.off('data', count).off('end', over).off('close', over)
      resolve()
    }
    const late = setTimeout(over, PASSED_LATE)
    request.on('data', count).on('end', over).on('close', over)
  })
}

/** Not by URL, which takes `//host/path` and `..` for more than they say here. */
function target(url: string): { pathname: string; query: URLSearchParams } {
  const mark = url.indexOf('?')
  const pathname = mark < 0 ? url : url.slice(0, mark)
  return { pathname, query: new URLSearchParams(mark < 0 ? '' : url.slice(mark + 1)) }
}

function refuse({ request, response, upgraded }: Asked, error: unknown): void {
  const { status, message } = failureOf(error)
  // In the middle of an answer there is no other way to say that it is not complete.
  if (response.headersSent || response.destroyed || !response.socket) {
    const connection = upgraded?.socket ?? response.socket
    connection?.destroy()
    return
  }
  const bytes = Buffer.from(`${JSON.stringify({ message })}\n`)
  // What is still to come of a body is not read: the connection ends with the answer.
  const head = { 'Content-Type': 'application/json', 'Content-Length': bytes.length }
  response.writeHead(status, request.complete ? head : { ...head, Connection: 'close' })
  response.end(request.method === 'HEAD' ? undefined : bytes)
}
