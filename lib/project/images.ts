/** The images of services: fetched, or built where the file says how. */
import path from 'node:path'
import type { BuildOptions } from '../build/options.js'
import type { ProjectModel, ServiceModel } from '../compose/project.js'
import { Image } from '../image.js'
import { contentOf } from './files.js'
import type { Loaded } from './load.js'

export interface ImageChoice {
  /** Build also what is here. */
  build?: boolean
  onProgress?: BuildOptions['onProgress']
  signal?: AbortSignal
}

/** Of each service by its name; one build for all that build the same. */
export async function imagesOf(
  services: Iterable<ServiceModel>,
  { model, lookup }: Loaded,
  choice: ImageChoice,
): Promise<Map<string, Image>> {
  const found = [...services].map(
    async (service) => [service.name, await imageOf(service, model, lookup, choice)] as const,
  )
  return new Map(await Promise.all(found))
}

/** The name that what is built gets, as docker compose has it. */
export const builtName = ({ name, image }: ServiceModel, project: string): string => image ?? `${project}-${name}`

async function imageOf(
  service: ServiceModel,
  project: ProjectModel,
  lookup: Loaded['lookup'],
  { build = false, onProgress, signal }: ImageChoice,
): Promise<Image> {
  const { image, pull_policy: policy, platform } = service
  const name = builtName(service, project.name)
  if (!service.build)
    return Image.resolve(image as string, { pull: policy === 'build' ? 'missing' : policy, platform, signal })
  if (!build && policy !== 'build') {
    const here = await Image.get(name, { platform }).catch(() => undefined)
    if (here) return here
    // A name that a registry may know is asked for there first, if that is wanted.
    if (image !== undefined && (policy === 'always' || policy === 'missing'))
      return Image.resolve(image, { pull: policy, platform, signal })
  }
  return Image.build({ ...(await buildOptions(service, project, lookup, name)), onProgress, signal })
}

async function buildOptions(
  service: ServiceModel,
  project: ProjectModel,
  lookup: Loaded['lookup'],
  tag: string,
): Promise<BuildOptions> {
  const { build = {}, platform } = service
  const { context = project.directory, dockerfile, dockerfile_inline: inline, tags = [], secrets = [] } = build
  const contents: Record<string, Buffer> = {}
  for (const { source, target } of secrets) {
    const model = project.secrets.get(source)
    if (model) contents[target ?? source] = await contentOf(model, lookup)
  }
  const options: BuildOptions = {
    context,
    dockerfile: inline === undefined ? dockerfile && besides(context, dockerfile) : { text: inline },
    target: build.target,
    args: build.args,
    tag: [tag, ...tags],
    labels: build.labels,
    platform: build.platforms?.[0] ?? platform,
    noCache: build.no_cache,
    pull: build.pull,
    network: build.network,
    secrets: contents,
    ssh: build.ssh,
    contexts: build.additional_contexts,
    extraHosts: build.extra_hosts,
    shmSize: build.shm_size,
  }
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as BuildOptions
}

/** Relative to the context, whatever else is in the working directory. */
function besides(context: string, dockerfile: string): string {
  return path.isAbsolute(context) ? path.resolve(context, dockerfile) : dockerfile
}
