/** The images of services: fetched, or built where the file says how. */
import path from 'node:path'
import type { BuildOptions } from '../build/options.js'
import { enabledServices, type ProjectModel, type ServiceModel } from '../compose/project.js'
import type { PullOptions } from '../image/transfer.js'
import { Image } from '../image.js'
import type { TransferEvent } from '../registry/progress.js'
import { defaultPlatform, parsePlatform } from '../spec/platform.js'
import { contentOf } from './files.js'
import type { Loaded } from './load.js'
import { allOf } from './turns.js'

export interface ImageChoice {
  /** Build also what is here. */
  build?: boolean
  onProgress?: BuildOptions['onProgress']
  signal?: AbortSignal
}

interface Some {
  /** Default: all whose profiles are on. */
  services?: readonly string[]
  signal?: AbortSignal
}

export interface FetchOptions extends Some {
  /** Told of each part of an image, and of which. */
  onProgress?: (event: TransferEvent & { image: string }) => void
}

export interface ImageBuildOptions extends Some, Pick<BuildOptions, 'noCache' | 'pull' | 'args' | 'onProgress'> {}

/** Each image once, all at the same time. All are tried, and the first error is given. */
export async function pullImages(loaded: Loaded, { services, onProgress, signal }: FetchOptions): Promise<void> {
  const wanted = new Map<string, PullOptions & { image: string }>()
  for (const { image, build, platform } of chosen(loaded, services))
    if (image !== undefined && !build) wanted.set(`${image} ${platform}`, { image, platform, signal })
  await allOf(
    [...wanted.values()].map(({ image, ...options }) =>
      Image.pull(image, { ...options, onProgress: onProgress && ((event) => onProgress({ ...event, image })) }),
    ),
  )
}

/** All at the same time. */
export async function buildImages(
  { model, lookup, profiles }: Loaded,
  { services, args, signal, onProgress, ...given }: ImageBuildOptions,
): Promise<void> {
  const told = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
  await allOf(
    chosen({ model, profiles }, services)
      .filter(({ build }) => build)
      .map(async (service) => {
        const options = await buildOptions(service, model, lookup, builtName(service, model.name))
        await Image.build({ ...options, ...told, args: { ...options.args, ...args }, signal, onProgress })
      }),
  )
}

function chosen(
  { model, profiles }: Pick<Loaded, 'model' | 'profiles'>,
  services: readonly string[] | undefined,
): ServiceModel[] {
  if (services) return services.map((name) => model.services.get(name) as ServiceModel)
  return [...enabledServices(model, profiles).values()]
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
  const options = await buildOptions(service, project, lookup, name)
  return Image.build({ ...options, platform: onePlatform(service), onProgress, signal })
}

/** To be brought up it is built for one: the service's, this machine's, or else the first. */
export function onePlatform({ build, platform }: Pick<ServiceModel, 'build' | 'platform'>): string | undefined {
  const { platforms = [] } = build ?? {}
  const { architecture } = defaultPlatform()
  return platform ?? platforms.find((each) => parsePlatform(each).architecture === architecture) ?? platforms[0]
}

async function buildOptions(
  service: ServiceModel,
  project: ProjectModel,
  lookup: Loaded['lookup'],
  tag: string,
): Promise<BuildOptions> {
  const { build = {}, platform } = service
  const { context = project.directory, dockerfile, dockerfile_inline: inline, tags = [], secrets = [] } = build
  // By names that are the file's: `__proto__` is one as any other.
  const contents: Record<string, Buffer> = Object.create(null)
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
    platform: build.platforms?.length ? build.platforms : platform,
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
