/** What a build has to do: the checked result of reading a Dockerfile. Nothing in here is a variable any more. */
import type { HistoryEntry, ImageConfig } from '../../spec/image.js'
import type { LintWarning } from './lint.js'
import type { Platform } from './platform.js'
import type { Span } from './source.js'
import type { UnusedArg } from './unused-args.js'

/** Where files come from. */
export type Source =
  | { kind: 'scratch' }
  /** The build context. */
  | { kind: 'context' }
  /** A context that the caller named. */
  | { kind: 'named'; name: string }
  /** A stage, by its index in the file. */
  | { kind: 'stage'; stage: number }
  /** `meant`: the stage that has almost this name. */
  | { kind: 'image'; name: string; platform: Platform; meant?: string }

/** An image to begin with, or the one that comes out; the layers of a base are its own business. */
export interface ImageState extends Platform {
  author?: string
  config: ImageConfig
  history: HistoryEntry[]
}

/** A base image as it was found. */
export interface BaseImage extends ImageState {
  /** Of its configuration or manifest: it stands for the content, so it goes into cache keys. */
  digest: string
}

interface StepCommon {
  /** The instruction in the file; for what ONBUILD brings in, the FROM. */
  span: Span
  /** The instruction with variables filled in, for people. */
  title: string
  /** The entry of the stage's history that it makes. */
  history: number
}

/** A user or group, by number or by a name that the root file system knows. */
export type Owner = { user: string | number; group?: string | number }

export interface MkdirStep extends StepCommon {
  kind: 'mkdir'
  /** Absolute; parents are made too. The mode is 0755. */
  path: string
  owner?: Owner
}

interface MountCommon {
  /** Absolute. */
  target: string
  readOnly: boolean
}
export interface FileOwner {
  uid?: number
  gid?: number
  mode?: number
}
export type Mount =
  | ({ type: 'bind'; source: Source; path: string } & MountCommon)
  | ({
      type: 'cache'
      id: string
      sharing: 'shared' | 'private' | 'locked'
      source: Source
      path: string
    } & MountCommon &
      FileOwner)
  /** `size` in bytes; 0 is as much as there is. */
  | ({ type: 'tmpfs'; size: number } & MountCommon)
  /** As a file, as a variable, or as both. */
  | ({ type: 'secret'; id: string; target?: string; env?: string; required: boolean } & FileOwner)
  /** A socket; SSH_AUTH_SOCK is the first one. */
  | ({ type: 'ssh'; id: string; target: string; required: boolean } & FileOwner)

export interface RunStep extends StepCommon {
  kind: 'run'
  args: string[]
  env: string[]
  /** Variables that are set while it runs and count for nothing else: proxies. */
  quietEnv: string[]
  workdir: string
  user: string
  mounts: Mount[]
  network: 'default' | 'none' | 'host'
  security: 'sandbox' | 'insecure'
  /** A here-document with a `#!`: a read-only directory /dev/pipes with this file in it, of mode 0755. */
  script?: { name: string; content: string }
}

/** One source of COPY or ADD. */
export type CopySource =
  | {
      kind: 'path'
      /** Absolute in the source; may have wildcards. */
      path: string
      /** With --parents: what to take below `path`, which is kept as a path in the destination. */
      below?: string
      /** Must exist. A path with wildcards may match nothing. */
      required: boolean
      /** Archives are unpacked. */
      unpack: boolean
    }
  | { kind: 'http'; url: string; fileName: string; checksum?: string; unpack: boolean }
  | ({ kind: 'git'; keepGitDir: boolean; checksum?: string } & GitSource)

export interface GitSource {
  remote: string
  ref?: string
  subdirectory?: string
  submodules: boolean
  fetchByCommit: boolean
}

export interface CopyStep extends StepCommon {
  kind: 'copy'
  from: Source
  sources: CopySource[]
  /** Files written in the Dockerfile, of mode 0644. */
  files: Array<{ name: string; content: string }>
  /** Absolute; a slash at the end says that it is a directory. */
  destination: string
  owner?: Owner
  /** A number, or a symbolic mode such as `u=rwX,go=rX`. */
  mode?: number | string
  /** Does not depend on what was there before. */
  link: boolean
  excludes: string[]
}

export type Step = MkdirStep | RunStep | CopyStep

export interface StagePlan {
  /** In the file. */
  index: number
  /** Its name, or `stage-INDEX`. */
  name: string
  span: Span
  base: Source
  /** The id of a base that is an image. */
  baseDigest?: string
  platform: Platform
  steps: Step[]
  image: ImageState
}

export interface BuildPlan {
  /** Only what the target needs, each after those it needs itself. */
  stages: StagePlan[]
  target: StagePlan
  warnings: LintWarning[]
  /** Build arguments that no ARG asked for. */
  unusedArgs: UnusedArg[]
  /** SOURCE_DATE_EPOCH in seconds, when it was given. */
  epoch?: number
}
