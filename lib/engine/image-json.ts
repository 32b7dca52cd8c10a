/** Images as the API tells them. */
import type { ImageInspection } from '../image/describe.js'
import type { Image } from '../image.js'
import { familiarName } from '../reference/format.js'
import { parseReference } from '../reference/parse.js'
import type { Json } from '../spec/json.js'
import { NEVER } from './container-json.js'

const tagsOf = ({ tags }: Image) => tags.filter((tag) => !tag.includes('@'))

/** NAME@DIGEST for each of its repositories. */
function digestsOf({ tags, digest }: Image): string[] {
  if (digest === null) return []
  return [...new Set(tags.map((tag) => `${familiarName(parseReference(tag))}@${digest}`))]
}

export async function imageSummary(image: Image): Promise<Json> {
  const { created, size, config } = await image.inspect()
  return {
    Id: image.id,
    ParentId: '',
    RepoTags: tagsOf(image),
    RepoDigests: digestsOf(image),
    Created: created ? Math.floor(created.getTime() / 1000) : 0,
    Size: size ?? 0,
    SharedSize: -1,
    Labels: config.Labels ?? null,
    Containers: -1,
  }
}

export async function imageJson(image: Image): Promise<Json> {
  const told = await image.inspect()
  const [Os = 'linux', Architecture = '', Variant] = (told.platform ?? '').split('/')
  return {
    Id: image.id,
    RepoTags: tagsOf(image),
    RepoDigests: digestsOf(image),
    Parent: '',
    Comment: told.history[0]?.comment ?? '',
    Created: told.created?.toISOString() ?? NEVER,
    DockerVersion: '',
    Author: told.author,
    Config: configOf(told),
    // Gone since 1.45; docker-compose 1 asks for the newest version, and makes no container anew without it.
    ContainerConfig: configOf(told),
    Architecture,
    ...(Variant ? { Variant } : {}),
    Os,
    Size: told.size ?? 0,
    GraphDriver: { Name: 'overlay2', Data: {} },
    RootFS: { Type: 'layers', Layers: told.layers.map(({ diffId }) => diffId) },
    Metadata: { LastTagTime: NEVER },
  }
}

function configOf({ config }: ImageInspection): Json {
  const nothing = { User: '', Env: null, Cmd: null, Entrypoint: null, WorkingDir: '', Labels: null, OnBuild: null }
  return { ...nothing, Volumes: null, ...config }
}
