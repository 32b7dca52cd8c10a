/** Which function answers a request. */
import type { Call } from './call.js'
import { ApiError } from './failure.js'

export type Handler = (call: Call) => Promise<void> | void

export interface Route {
  method: string
  /** As `/containers/{id}/json`. A `{name}` may hold slashes: names of images do. */
  path: string
  handler: Handler
}

interface Compiled extends Route {
  pattern: RegExp
  names: string[]
}

/** Bytes of a path; names of images have at most 255. */
const PATH_MAX = 2048

export class Router {
  readonly #routes: Compiled[]

  constructor(routes: readonly Route[]) {
    this.#routes = routes.map(compile)
  }

  /** Throws 404 for a path that nobody knows, and 405 for one with another method. */
  find(method: string, path: string): { handler: Handler; parameters: Record<string, string> } {
    if (path.length > PATH_MAX) throw new ApiError(414, 'the path is too long')
    const decoded = decode(path)
    const fitting = this.#routes.filter(({ pattern }) => pattern.test(decoded))
    if (fitting.length === 0) throw new ApiError(404, 'page not found')
    const route = fitting.find((each) => each.method === method)
    if (!route) throw new ApiError(405, `${method} is not a method of this path`)
    const values = route.pattern.exec(decoded)?.slice(1) ?? []
    return {
      handler: route.handler,
      parameters: Object.fromEntries(route.names.map((name, i) => [name, values[i] ?? ''])),
    }
  }
}

function compile(route: Route): Compiled {
  const names: string[] = []
  const pattern = route.path.replace(/[.]/g, '\\.').replace(/\{(\w+)\}/g, (_, name: string) => {
    names.push(name)
    return name === 'name' ? '(.+)' : '([^/]+)'
  })
  return { ...route, names, pattern: new RegExp(`^${pattern}$`) }
}

/** Names go no further than to maps and checks of names; still none needs what is not printed, or a way up. */
function decode(path: string): string {
  let decoded: string
  try {
    decoded = decodeURIComponent(path)
  } catch {
    throw new ApiError(400, 'the path is not encoded as a path')
  }
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
  if (/[\u0000-\u001f\u007f\ufffd]/.test(decoded)) throw new ApiError(400, 'the path has characters that no name has')
  if (decoded.split('/').includes('..')) throw new ApiError(400, 'the path has ".." in it')
  return decoded
}
