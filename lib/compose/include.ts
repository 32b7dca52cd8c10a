/** `include`: what other files have becomes part of this one, with paths and variables of their own. */
import { canonical } from './field.js'
import type { Fragment, Opened } from './file.js'
import { type ComposeNode, composeError, type Place } from './node.js'
import { type Context, eachKey, listOf, oneOrMore, textOf } from './read.js'
import { hostPath } from './short-forms.js'

/** Files that go over each other. Paths are absolute. */
export interface IncludeModel {
  files: string[]
  /** What their relative paths are below; none: the directory of the first. */
  directory?: string
  /** Of variables, behind those of the file that includes; none: `.env` in that directory. */
  envFiles?: string[]
  place: Place
}

/** Opens what is included. `context`: of the file that includes it. */
export type OpenIncluded = (include: IncludeModel, context: Context) => Promise<Opened[]>

export function includesOf(root: ComposeNode, context: Context): IncludeModel[] {
  const include = root.kind === 'map' ? root.entries.get('include') : undefined
  if (!include) return []
  return listOf(include.value).items.map((item) => {
    const paths = (node: ComposeNode) => oneOrMore(node, context).map((text) => localPath(text, node.place, context))
    if (item.kind !== 'map') return { files: paths(item), place: item.place }
    const found: Partial<IncludeModel> = {}
    eachKey(item, ['path', 'project_directory', 'env_file'], {}, (key, { value }) => {
      if (key === 'path') found.files = paths(value)
      else if (key === 'env_file') found.envFiles = paths(value)
      else found.directory = hostPath(textOf(value, context), context)
    })
    const { files = [] } = found
    if (files.length === 0) throw composeError(item.place, 'the path is missing', 'Write path: ./FILE.')
    return { ...found, files, place: item.place }
  })
}

function localPath(text: string, place: Place, context: Context): string {
  if (!/^([a-z0-9+.-]+:\/\/|git@|oci:)/i.test(text)) return hostPath(text, context)
  throw composeError(
    place,
    `${JSON.stringify(text)} is on another machine`,
    'Fetch it, and include the file.',
    'ERR_CAISSON_UNSUPPORTED',
  )
}

/** Both have what both say alike; what they say differently is an error where it is included. */
export function addIncluded(base: Fragment, included: Fragment, place: Place): void {
  const add = <T extends { values: unknown }>(into: Map<string, T>, from: ReadonlyMap<string, T>, kind: string) => {
    for (const [name, each] of from) {
      const there = into.get(name)
      if (there && canonical(there.values) !== canonical(each.values))
        throw composeError(place, `${kind}.${name} is in both files`, 'Name one of them differently.')
      if (!there) into.set(name, each)
    }
  }
  add(base.services, included.services, 'services')
  for (const kind of Object.keys(base.resources) as Array<keyof Fragment['resources']>)
    add(base.resources[kind], included.resources[kind], kind)
}
