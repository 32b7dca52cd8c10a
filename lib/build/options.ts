/** What callers give to a build, and what they are told. */
import type { Image } from '../image.js'
import type { Limits, RunOptions } from '../options.js'
import type { Auth } from '../registry/credentials.js'
import type { TransferEvent } from '../registry/progress.js'
import type { Duration } from '../util/units.js'
import type { LintWarning } from './dockerfile/lint.js'

/** What happens during a build, as it happens. `step` counts from 1 in the order in which steps begin. */
export type BuildEvent =
  | BuildStepEvent
  /** What a command prints. */
  | { type: 'output'; step: number; stream: 'stdout' | 'stderr'; data: Buffer }
  | { type: 'warning'; warning: LintWarning }
  /** A build argument that no ARG asks for; `message` says so, and what may have been meant. */
  | { type: 'unused-arg'; name: string; message: string }
  /** What is different here from what a caller may expect. */
  | { type: 'notice'; message: string }
  /** Of images that are fetched or sent. */
  | { type: 'transfer'; image: string; event: TransferEvent }
  /** By which digest a registry has it under that name. */
  | { type: 'pushed'; image: string; digest: string }

export interface BuildStepEvent {
  type: 'step'
  step: number
  status: 'started' | 'cached' | 'done' | 'failed'
  /** The stage's name, and which of its steps this is. */
  stage: string
  index: number
  count: number
  /** The instruction with variables filled in. */
  title: string
  /** In the Dockerfile; counts from 1. */
  line: number
  /** Milliseconds; with `done` and `failed`. */
  durationMs?: number
  /** With `failed`. */
  error?: string
}

/** A value, or a file that it is in, or a variable of this process. */
export type SecretSource = string | Uint8Array | { file: string } | { env: string }

/** A cache of builds in a registry, under a name of its own. */
export interface RegistryCache {
  type: 'registry'
  ref: string
}

/** One in a directory, which is an OCI image layout. */
export type CacheSource = RegistryCache | { type: 'local'; src: string }

/** In the image itself: the steps of the stage that is built. It is read as a cache in a registry. */
export interface InlineCache {
  type: 'inline'
}

/** `max` (default): what all steps made. `min`: only the steps of the stage that is built, and of those below it. */
export type CacheTarget =
  | (RegistryCache & { mode?: 'min' | 'max' })
  | { type: 'local'; dest: string; mode?: 'min' | 'max' }
  | InlineCache

/** The files of the image. */
export type BuildFilesOutput = { type: 'local'; dest: string } | { type: 'tar'; dest: string | NodeJS.WritableStream }

export type BuildOutput =
  | BuildFilesOutput
  /** An archive of the image. */
  | { type: 'oci' | 'docker'; dest: string | NodeJS.WritableStream }

export interface BuildOptions {
  /**
   * A directory; a tar archive as a stream or bytes; the address of a git repository; an http address of an archive.
   * Default: nothing, for a Dockerfile that copies nothing.
   */
  context?: string | Uint8Array | AsyncIterable<Uint8Array>
  /** A path: relative to the context when it is there, else to the working directory. Or the text itself. Default: Dockerfile. */
  dockerfile?: string | { text: string }
  target?: string
  args?: Record<string, string | undefined>
  /** Names for what comes out. */
  tag?: string | readonly string[]
  labels?: Record<string, string>
  /** As `linux/arm64`. Of several, also as `linux/amd64,linux/arm64`, an index is made with an image for each. */
  platform?: string | readonly string[]
  /** Takes nothing from the cache; of these stages, or of all. */
  noCache?: boolean | readonly string[]
  /** Base images: `missing` (default) fetches what is not here; true is `always`. */
  pull?: boolean | 'missing' | 'always' | 'never'
  /** Of commands that do not say. `default`: out of this machine, and not to the host's own services (docs/dockerfile.md). */
  network?: 'default' | 'none' | 'host'
  secrets?: Record<string, SecretSource>
  /** Sockets of agents by id; `default` is the one that is meant without an id. true: SSH_AUTH_SOCK. */
  ssh?: boolean | Record<string, string>
  /**
   * Other contexts by name: a directory, a git repository, an http address of an archive, `docker-image://NAME`,
   * `oci-layout://DIRECTORY[:TAG][@DIGEST]`, or an image.
   */
  contexts?: Record<string, string | Image>
  /** What hostile Dockerfiles may not have unless the caller says so. */
  allow?: ReadonlyArray<'network.host' | 'security.insecure'>
  /** Of each command. */
  limits?: Limits
  /** Of each command: POSIX resource limits by name, as `nofile`. */
  ulimits?: RunOptions['ulimits']
  /** After which a command is ended. Default: never. */
  stepTimeout?: Duration
  extraHosts?: Record<string, string> | readonly string[]
  shmSize?: number | string
  /** Instead of, or beside, an image in the store. */
  output?: BuildOutput | readonly BuildOutput[]
  /** Sends what comes out to the registries of its names. */
  push?: boolean
  /** Caches of earlier builds in registries and directories, and images that have theirs; one that is not there yet is empty. */
  cacheFrom?: CacheSource | readonly CacheSource[]
  /** Where the cache of this build is sent. */
  cacheTo?: CacheTarget | readonly CacheTarget[]
  /** Credentials for fetching and sending. */
  auth?: Auth
  /**
   * How layers are kept: plain ones (default) are quick to make, gzip ones are small. With `push`, gzip ones are sent unless
   * this says `none`.
   */
  compression?: 'none' | 'gzip'
  onProgress?: (event: BuildEvent) => void
  signal?: AbortSignal
}
