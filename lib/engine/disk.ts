/** What lies on the disk, as `docker system df` shows it. */
import { Image } from '../image.js'
import type { Json } from '../spec/json.js'
import { storeUsage } from '../verify.js'
import { Volume } from '../volume.js'
import type { Call } from './call.js'
import { ownContainers, summary } from './container-list.js'
import { badRequest } from './failure.js'
import { gatewaysOf } from './gateways.js'
import { imageSummary } from './image-json.js'
import type { Route } from './router.js'
import type { Kept } from './state.js'
import { volumeJson } from './volumes.js'

export const diskRoutes: Route[] = [{ method: 'GET', path: '/system/df', handler: usage }]

const KINDS = ['container', 'image', 'volume', 'build-cache']

async function usage(call: Call): Promise<void> {
  const asked = call.query.getAll('type')
  for (const kind of asked) if (!KINDS.includes(kind)) throw badRequest(`unknown object type: ${kind.slice(0, 100)}`)
  const wants = (kind: string) => asked.length === 0 || asked.includes(kind)
  const containers = await ownContainers(call)
  const { blobs, cacheMounts } = await storeUsage({ signal: call.gone })
  const gateways = await gatewaysOf()
  call.json({
    ...(wants('image') ? { LayersSize: blobs.bytes, Images: await images(containers) } : {}),
    ...(wants('container') ? { Containers: containers.map((kept) => summary(kept, gateways)) } : {}),
    ...(wants('volume') ? { Volumes: await volumes(call) } : {}),
    ...(wants('build-cache') ? { BuildCache: cacheOf(cacheMounts) } : {}),
  })
}

async function images(containers: readonly Kept[]): Promise<Json[]> {
  const all = await Image.list()
  const told = await Promise.all(all.map((image) => image.inspect()))
  const holders = new Map<string, number>()
  for (const { layers } of told)
    for (const digest of new Set(layers.map((layer) => layer.digest)))
      holders.set(digest, (holders.get(digest) ?? 0) + 1)
  return Promise.all(
    all.map(async (image, i) => {
      const shared = told[i]?.layers.filter(({ digest }) => (holders.get(digest) ?? 0) > 1) ?? []
      return {
        ...(await imageSummary(image)),
        SharedSize: shared.reduce((sum, { size }) => sum + size, 0),
        Containers: containers.filter(({ imageId }) => imageId === image.id).length,
      }
    }),
  )
}

async function volumes(call: Call): Promise<Json[]> {
  const all = await Volume.list()
  const told = await Promise.all(
    all.map(async (volume) => {
      // One may be removed meanwhile.
      const used = await volume.usage({ signal: call.gone }).catch(() => undefined)
      return used && { ...volumeJson(volume), UsageData: { Size: used.bytes, RefCount: used.containers.length } }
    }),
  )
  return told.filter((each) => each !== undefined)
}

/** What commands of builds keep is one sum: its parts have no names. */
function cacheOf({ count, bytes }: { count: number; bytes: number }): Json[] {
  if (count === 0) return []
  const Description = `${count} directories of RUN --mount=type=cache`
  return [{ ID: 'cache-mounts', Type: 'exec.cachemount', Description, InUse: false, Shared: false, Size: bytes }]
}
