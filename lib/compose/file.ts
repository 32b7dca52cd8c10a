/** A file, and several as one: what each says is read for itself, and the later ones go over the earlier ones. */
import { mergeFields, type Read, readFields } from './field.js'
import { addIncluded, type IncludeModel, includesOf, type OpenIncluded } from './include.js'
import { type ComposeNode, composeError, isNull, type Place } from './node.js'
import { type Context, eachKey, mapOf, textOf } from './read.js'
import { RESOURCES, type ResourceFragment, type ResourceKind, resourcesOf } from './resources.js'
import { SERVICE_FIELDS, SERVICE_REFUSED } from './service-fields.js'
import { hostPath } from './short-forms.js'

export interface ServiceFragment extends Read<typeof SERVICE_FIELDS> {
  place: Place
}

export interface Fragment {
  services: Map<string, ServiceFragment>
  resources: Record<ResourceKind, Map<string, ResourceFragment>>
}

/** Where a file is read from, for `extends`. */
export interface Opened {
  root: ComposeNode
  context: Context
  /** What tells it apart from others. */
  file: string
}

/** Opens a file that another one names. */
export type Open = (file: string, place: Place, context: Context) => Promise<Opened>

export interface Opening {
  open: Open
  include: OpenIncluded
}

/** Services that extend each other. */
const LONGEST_CHAIN = 64

const KINDS = Object.keys(RESOURCES) as ResourceKind[]
const TOP = ['name', 'version', 'include', 'services', ...KINDS]
const TOP_REFUSED = { models: 'Models are not run.' }

/** @param chain of files that include each other, up to this one. */
export async function readFile(
  opened: Opened,
  opening: Opening,
  chain: readonly string[] = [opened.file],
): Promise<Fragment> {
  const { root, context } = opened
  const resources = {
    networks: new Map(),
    volumes: new Map(),
    secrets: new Map(),
    configs: new Map(),
  } as Fragment['resources']
  const services = new Map<string, ServiceFragment>()
  if (root.kind !== 'map')
    throw composeError(root.place, 'this is no compose file', 'Write services: with a service in it.')
  eachKey(root, TOP, TOP_REFUSED, (key, { value }) => {
    if ((KINDS as string[]).includes(key))
      resources[key as ResourceKind] = resourcesOf(key as ResourceKind, value, context)
  })
  for (const [name, { key, value }] of servicesIn(root)) {
    if (!/^[a-zA-Z0-9._-]+$/.test(name))
      throw composeError(
        key,
        `${JSON.stringify(name)} is no name of a service`,
        'Write letters, digits, ".", "_" and "-".',
      )
    services.set(name, { ...(await readService(value, opened, opening.open, [`${opened.file} ${name}`])), place: key })
  }
  const made = { services, resources }
  for (const each of includesOf(root, context))
    addIncluded(made, await readIncluded(each, opened, opening, chain), each.place)
  return made
}

async function readIncluded(
  { place, ...rest }: IncludeModel,
  { context }: Opened,
  opening: Opening,
  chain: readonly string[],
): Promise<Fragment> {
  let whole: Fragment | undefined
  for (const each of await opening.include({ ...rest, place }, context)) {
    if (chain.includes(each.file))
      throw composeError(place, `${each.file} includes itself`, 'Take one include out of the circle.')
    const fragment = await readFile(each, opening, [...chain, each.file])
    whole = whole ? mergeFragments(whole, fragment) : fragment
  }
  return whole as Fragment
}

/** As written, without the variables of values. */
function servicesIn(root: ComposeNode) {
  const services = root.kind === 'map' ? root.entries.get('services') : undefined
  return services ? mapOf(services.value).entries : new Map<string, never>()
}

/** @param chain of services that extend each other, up to this one. */
async function readService(
  node: ComposeNode,
  opened: Opened,
  open: Open,
  chain: readonly string[],
): Promise<Read<typeof SERVICE_FIELDS>> {
  const { context } = opened
  if (isNull(node)) throw composeError(node.place, 'the service is empty', 'Write image: or build: in it.')
  const { extends: extended, ...rest } = Object.fromEntries(mapOf(node).entries)
  const own = readFields(
    { kind: 'map', place: node.place, entries: new Map(Object.entries(rest)) },
    context,
    SERVICE_FIELDS,
    SERVICE_REFUSED,
  )
  if (!extended) return own
  const { service, file } = extensionOf(extended.value, context)
  const from = file === undefined ? opened : await open(file, extended.value.place, context)
  const link = `${from.file} ${service}`
  if (chain.includes(link))
    throw composeError(extended.value.place, `${service} extends itself`, 'Take one extends out of the circle.')
  if (chain.length === LONGEST_CHAIN)
    throw composeError(
      extended.value.place,
      'too many services extend each other',
      `At most ${LONGEST_CHAIN} do in a row.`,
    )
  const base = servicesIn(from.root).get(service)
  if (!base)
    throw composeError(
      extended.value.place,
      `there is no service ${service} in ${from.file}`,
      'Name one that is there.',
    )
  const read = await readService(base.value, from, open, [...chain, link])
  return { values: mergeFields(read.values, own, SERVICE_FIELDS), replaced: own.replaced }
}

function extensionOf(node: ComposeNode, context: Context): { service: string; file?: string } {
  if (node.kind === 'scalar') return { service: textOf(node, context) }
  const found: { service?: string; file?: string } = {}
  eachKey(node, ['service', 'file'], {}, (key, { value }) => {
    if (key === 'service') found.service = textOf(value, context)
    else found.file = hostPath(textOf(value, context), context)
  })
  if (found.service === undefined) throw composeError(node.place, 'the service is missing', 'Write service: NAME.')
  return { ...found, service: found.service }
}

export function mergeFragments(base: Fragment, over: Fragment): Fragment {
  const services = new Map(base.services)
  for (const [name, fragment] of over.services) {
    const below = services.get(name)
    services.set(
      name,
      below
        ? { values: mergeFields(below.values, fragment, SERVICE_FIELDS), replaced: below.replaced, place: below.place }
        : fragment,
    )
  }
  const resources = { ...base.resources }
  for (const kind of KINDS) {
    const merged = new Map(resources[kind])
    for (const [name, fragment] of over.resources[kind]) {
      const below = merged.get(name)
      const values = below && mergeFields(below.values, fragment, RESOURCES[kind].fields as never)
      merged.set(name, below ? { ...below, values: values as never } : fragment)
    }
    resources[kind] = merged
  }
  return { services, resources }
}

/** The project's name as the file has it, if it is there. */
export function nameIn(root: ComposeNode, context: Context): string | undefined {
  const name = root.kind === 'map' ? root.entries.get('name') : undefined
  return name && !isNull(name.value) ? textOf(name.value, context) : undefined
}
