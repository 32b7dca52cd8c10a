/** The configuration of a container, as Docker tells it: the image's, where the client has said nothing else. */
import type { ImageConfig } from '../spec/image.js'
import type { Json } from '../spec/json.js'

/** What is not here comes from the container itself (`Env`, `User`, `WorkingDir`, `Labels`), which has merged it. */
export function mergedConfig(config: Json, image: ImageConfig): Json {
  const entrypoint = isGiven(config.Entrypoint) ? config.Entrypoint : image.Entrypoint
  // The arguments of the image are for its own program.
  const cmd = isGiven(config.Cmd) || isGiven(config.Entrypoint) ? config.Cmd : image.Cmd
  const both = (key: 'ExposedPorts' | 'Volumes') => {
    const merged = { ...image[key], ...(config[key] as object | null | undefined) }
    return Object.keys(merged).length > 0 ? merged : undefined
  }
  return {
    ...config,
    Entrypoint: entrypoint ?? null,
    Cmd: cmd ?? null,
    ExposedPorts: both('ExposedPorts'),
    Volumes: both('Volumes') ?? null,
    Healthcheck: config.Healthcheck ?? image.Healthcheck,
    StopSignal: config.StopSignal || image.StopSignal,
  }
}

/** Clients write `null`, an empty list or text for what they leave to the image. */
function isGiven(value: unknown): boolean {
  return Array.isArray(value) ? value.length > 0 : typeof value === 'string' && value !== ''
}
