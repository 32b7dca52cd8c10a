/** Images: listed, fetched, named, removed, sent. */
import { CaissonError } from '../errors.js'
import { Image } from '../image.js'
import { familiarReference } from '../reference/format.js'
import { parseName, parseReference } from '../reference/parse.js'
import type { Call } from './call.js'
import { changed, changesIn } from './commit-changes.js'
import { ApiError, badRequest, notImplemented } from './failure.js'
import { Filters } from './filters.js'
import { imageJson, imageSummary } from './image-json.js'
import { telling, transferLine } from './progress.js'
import { registryAuth } from './registry-auth.js'
import type { Route } from './router.js'

export const imageRoutes: Route[] = [
  { method: 'GET', path: '/images/json', handler: list },
  { method: 'POST', path: '/images/create', handler: pull },
  { method: 'POST', path: '/images/load', handler: load },
  { method: 'POST', path: '/images/prune', handler: prune },
  { method: 'POST', path: '/build/prune', handler: pruneCache },
  { method: 'POST', path: '/commit', handler: commit },
  { method: 'GET', path: '/images/get', handler: (call) => save(call, namesIn(call)) },
  { method: 'GET', path: '/images/{name}/get', handler: (call) => save(call, [call.parameter('name')]) },
  { method: 'GET', path: '/images/{name}/json', handler: inspect },
  { method: 'GET', path: '/images/{name}/history', handler: history },
  { method: 'POST', path: '/images/{name}/tag', handler: tag },
  { method: 'POST', path: '/images/{name}/push', handler: push },
  { method: 'DELETE', path: '/images/{name}', handler: remove },
]

/** Throws 404 in the words that clients look for. */
async function find(call: Call): Promise<Image> {
  return imageNamed(call.parameter('name'), call.text('platform'))
}

async function imageNamed(name: string, platform?: string): Promise<Image> {
  try {
    return await Image.get(name, { platform: platformText(platform) })
  } catch (error) {
    if (!(error instanceof CaissonError) || error.code !== 'ERR_CAISSON_IMAGE_NOT_FOUND') throw error
    throw new ApiError(404, `No such image: ${name.slice(0, 300)}`)
  }
}

/** As `linux/arm64`, or (since 1.48) as JSON of its parts. */
function platformText(given: string | undefined): string | undefined {
  if (!given?.startsWith('{')) return given
  try {
    const { os = 'linux', architecture = '', variant } = JSON.parse(given) as Record<string, string>
    return [os, architecture, variant].filter(Boolean).join('/')
  } catch {
    throw badRequest('platform is not JSON')
  }
}

async function list(call: Call): Promise<void> {
  const filters = Filters.parse(call.text('filters'), ['reference', 'dangling', 'label', 'before', 'since', 'until'])
  const one = (name: string) => (filters.get(name)[0] === undefined ? {} : { [name]: filters.get(name)[0] })
  const images = await Image.list({
    ...(filters.get('reference').length > 0 ? { reference: filters.get('reference') } : {}),
    ...(filters.get('label').length > 0 ? { label: filters.get('label') } : {}),
    ...(filters.get('dangling').length > 0 ? { dangling: filters.boolean('dangling', false) } : {}),
    ...one('before'),
    ...one('since'),
    ...one('until'),
  })
  const told = await Promise.all(images.map(imageSummary))
  call.json(told.sort((a, b) => Number(b.Created) - Number(a.Created)))
}

async function inspect(call: Call): Promise<void> {
  call.json(await imageJson(await find(call)))
}

async function history(call: Call): Promise<void> {
  const image = await find(call)
  const steps = await image.history()
  call.json(
    steps.map(({ created, createdBy, comment, size }, i) => ({
      // Only the last step's image is one that is kept.
      Id: i === 0 ? image.id : '<missing>',
      Created: created ? Math.floor(created.getTime() / 1000) : 0,
      CreatedBy: createdBy,
      Tags: i === 0 ? image.tags : null,
      Size: size,
      Comment: comment,
    })),
  )
}

async function tag(call: Call): Promise<void> {
  const image = await find(call)
  const repository = call.text('repo')
  if (repository === undefined) throw badRequest('repo is missing')
  const name = parseName(repository)
  if (name.tag !== undefined || name.digest !== undefined) throw badRequest('repo has a tag in it')
  const full = `${repository}:${call.text('tag') ?? 'latest'}`
  await image.tag(full)
  call.state.events.tell('image', 'tag', image.id, { name: full })
  call.empty(201)
}

async function pull(call: Call): Promise<void> {
  const from = call.text('fromImage')
  if (from === undefined) throw notImplemented('an import', 'Load an archive of an image')
  const given = call.text('tag')
  const named = parseName(from)
  const whole = named.tag !== undefined || named.digest !== undefined
  const ref = given === undefined || whole ? from : `${from}${given.includes(':') ? '@' : ':'}${given}`
  // Malformed names are told by a status.
  const reference = parseReference(ref)
  const auth = registryAuth(call.headers['x-registry-auth'])
  const platform = call.text('platform')
  const options = { platform, auth, signal: call.gone }
  await telling(call, async (tell) => {
    const onProgress = (event: Parameters<typeof transferLine>[0]) => {
      if (event.kind === 'layer') tell(transferLine(event))
    }
    const shown = familiarReference(reference)
    if (given === undefined && !whole) {
      for (const image of await Image.pullAll(from, { ...options, onProgress }))
        tell({ status: `Digest: ${image.digest}` })
    } else {
      const before = await Image.get(ref).catch(() => undefined)
      const image = await Image.pull(ref, { ...options, onProgress })
      tell({ status: `Digest: ${image.digest}` })
      const fresh = before?.digest !== image.digest
      tell({ status: `Status: ${fresh ? 'Downloaded newer image' : 'Image is up to date'} for ${shown}` })
    }
    call.state.events.tell('image', 'pull', shown, { name: shown })
  })
}

async function push(call: Call): Promise<void> {
  const name = call.parameter('name')
  const tag = call.text('tag')
  const ref = tag === undefined ? name : `${name}:${tag}`
  const image = await imageNamed(ref)
  const auth = registryAuth(call.headers['x-registry-auth'])
  await telling(call, async (tell) => {
    tell({ status: `The push refers to repository [${name}]` })
    const pushed = await image.push(ref, {
      auth,
      signal: call.gone,
      onProgress: (event) => {
        if (event.kind === 'layer') tell(transferLine(event, true))
      },
    })
    const { tag: shown = 'latest' } = parseReference(ref)
    tell({ status: `${shown}: digest: ${pushed.digest}` })
    tell({ progressDetail: {}, aux: { Tag: shown, Digest: pushed.digest } })
  })
}

async function load(call: Call): Promise<void> {
  if (call.text('platform')) throw notImplemented('a load of one platform')
  await telling(call, async (tell) => {
    const images = await Image.loadAll(call.request, { signal: call.gone })
    // What comes behind the end of the archive.
    call.request.resume()
    for (const image of images) {
      const [name] = image.tags
      tell({ stream: name === undefined ? `Loaded image ID: ${image.id}\n` : `Loaded image: ${name}\n` })
      call.state.events.tell('image', 'load', image.id, { name: name ?? image.id })
    }
  })
}

function namesIn(call: Call): string[] {
  const names = call.query.getAll('names').flatMap((each) => each.split(','))
  if (names.length === 0) throw badRequest('names are missing')
  return names
}

async function save(call: Call, names: readonly string[]): Promise<void> {
  const images = await Promise.all(names.map((name) => imageNamed(name)))
  call.response.writeHead(200, { 'Content-Type': 'application/x-tar' })
  await Image.saveAll(images, call.response, { format: 'docker', signal: call.gone })
}

async function remove(call: Call): Promise<void> {
  const image = await find(call)
  const [first] = image.tags
  const byName = image.tags.length > 1 && !isId(call.parameter('name'), image)
  await image.remove({ force: call.flag('force') })
  const gone = byName ? [first as string] : image.tags
  const told = gone.map((name) => ({ Untagged: name }))
  for (const name of gone) call.state.events.tell('image', 'untag', image.id, { name })
  if (byName) return call.json(told)
  call.state.events.tell('image', 'delete', image.id, { name: image.id })
  call.json([...told, { Deleted: image.id }])
}

function isId(given: string, { id }: Image): boolean {
  return id.startsWith(given) || id.replace('sha256:', '').startsWith(given)
}

async function prune(call: Call): Promise<void> {
  const filters = Filters.parse(call.text('filters'), ['dangling', 'until', 'label'])
  const [until] = filters.get('until')
  const { images, bytes } = await Image.prune({
    dangling: filters.boolean('dangling', true),
    ...(until === undefined ? {} : { until }),
    ...(filters.get('label').length > 0 ? { label: filters.get('label') } : {}),
  })
  call.json({
    ImagesDeleted: images.map((name) => (name.startsWith('sha256:') ? { Deleted: name } : { Untagged: name })),
    SpaceReclaimed: bytes,
  })
}

/** What builds have kept, those of the library among them. */
async function pruneCache(call: Call): Promise<void> {
  Filters.parse(call.text('filters'), [])
  for (const name of ['reserved-space', 'max-used-space', 'min-free-space', 'keep-storage'])
    if (call.whole(name)) throw notImplemented(name)
  const { bytes } = await Image.pruneBuildCache()
  call.json({ CachesDeleted: [], SpaceReclaimed: bytes })
}

async function commit(call: Call): Promise<void> {
  const { container } = await call.state.find(call.text('container') ?? '')
  const changes = changesIn(call)
  const repository = call.text('repo')
  const tag = repository === undefined ? undefined : `${repository}:${call.text('tag') ?? 'latest'}`
  const [author, message] = [call.text('author'), call.text('comment')]
  const committed = await container.commit({
    ...(tag === undefined || changes.length > 0 ? {} : { tag }),
    ...(author === undefined ? {} : { author }),
    ...(message === undefined ? {} : { message }),
    pause: call.flag('pause', true),
  })
  const image = changes.length > 0 ? await changed(committed, changes, tag) : committed
  call.state.events.tell('container', 'commit', container.id, { imageID: image.id, name: container.name })
  call.json({ Id: image.id }, 201)
}
