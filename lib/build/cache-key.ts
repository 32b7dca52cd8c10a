/**
 * Under which key the result of a step is found again. A key stands for everything that the files after the step depend
 * on: what was there before, the instruction with its variables filled in, and the content of what it copies or mounts.
 *
 * Only files are ever taken from a cache. The configuration of an image is made anew from the Dockerfile each time, so
 * that nobody's cached image can slip in a HEALTHCHECK or an ONBUILD (CVE-2024-24557); and a base counts with its digest
 * and its whole configuration, never by its name.
 */
import { createHash } from 'node:crypto'
import type { CopySource, CopyStep, ImageState, Mount, RunStep, Source, Step } from './dockerfile/plan-types.js'
import { formatPlatform, type Platform } from './dockerfile/platform.js'

/** A new one whenever the same key would come to mean something else. */
const VERSION = 'caisson-build-2'

/** What a stage begins with. */
export type KeyBase =
  | { kind: 'scratch'; platform: Platform }
  | { kind: 'image'; digest: string; image: ImageState; platform: Platform }
  /** A directory or repository of the caller's, by its content. */
  | { kind: 'content'; digest: string; platform: Platform }

export function baseKey(base: KeyBase): string {
  const platform = formatPlatform(base.platform)
  if (base.kind === 'scratch') return digest('scratch', platform)
  return digest(base.kind, platform, base.digest, ...(base.kind === 'image' ? [base.image] : []))
}

/** Digests of content that a step uses, supplied by whoever has it. */
export interface StepContent {
  /** Of what each source of a copy selects; of a repository or download, its commit or content. */
  sources?: readonly string[]
  /** Of what each mount of a RUN shows of a stage, image or context; undefined for mounts that show nothing. */
  mounts?: ReadonlyArray<string | undefined>
}

/** @param parent the key of what is there before the step. */
export function stepKey(parent: string, step: Step, content: StepContent = {}): string {
  switch (step.kind) {
    case 'mkdir':
      return digest(parent, 'mkdir', step.path, step.owner ?? null)
    case 'run':
      return digest(parent, 'run', runMaterial(step, content.mounts ?? []))
    case 'copy':
      // A linked copy is a layer of its own, whatever lies below it.
      return digest(step.link ? 'link' : parent, 'copy', copyMaterial(step, content.sources ?? []))
  }
}

function runMaterial(step: RunStep, contents: ReadonlyArray<string | undefined>): unknown {
  const { args, env, workdir, user, network, security, script } = step
  const mounts = step.mounts.map((mount, i) => mountMaterial(mount, contents[i]))
  return { args, env: env.toSorted(), workdir, user, network, security, script: script ?? null, mounts }
}

/** A stage counts by what it holds, not by where it stands in the file. Of secrets only the names count. */
function mountMaterial(mount: Mount, content: string | undefined): unknown {
  if (mount.type !== 'bind' && mount.type !== 'cache') return mount
  const { source, ...rest } = mount
  if (needsContent(source) && content === undefined) throw new Error(`no digest for the mount at ${mount.target}`)
  return { ...rest, content: content ?? null }
}

const needsContent = ({ kind }: Source) => kind !== 'scratch'

function copyMaterial(step: CopyStep, contents: readonly string[]): unknown {
  const { destination, owner, mode, files, excludes } = step
  if (contents.length !== step.sources.length) throw new Error('no digest for a source of a copy')
  const sources = step.sources.map((source, i) => ({ ...sourceMaterial(source), content: contents[i] }))
  return { destination, owner: owner ?? null, mode: mode ?? null, files, excludes, sources }
}

/** What of a source is not in its content already. Where a download came from does not matter, but how it is named. */
function sourceMaterial(source: CopySource): object {
  if (source.kind === 'path') return { kind: source.kind, unpack: source.unpack }
  if (source.kind === 'http') return { kind: source.kind, fileName: source.fileName, unpack: source.unpack }
  return { kind: source.kind, keepGitDir: source.keepGitDir, subdirectory: source.subdirectory ?? '' }
}

/** Something that a copy brings, by all that counts. Times do not. */
export interface ContentItem {
  /** Where it comes to lie. */
  to: string
  type: 'file' | 'directory' | 'symlink' | 'other'
  /** Permission bits. */
  mode: number
  uid: number
  gid: number
  /** Of the bytes of a file; of a directory that stands for all that is in it, of that. */
  digest?: string
  /** Of a symbolic link. */
  target?: string
  /** Of a device. */
  device?: readonly [major: number, minor: number]
  xattrs?: Readonly<Record<string, string>>
}

/** The digest of what a source selects, whatever the order in which it was found. */
export function contentDigest(items: Iterable<ContentItem>): string {
  const sorted = [...items].sort((a, b) => (a.to < b.to ? -1 : a.to > b.to ? 1 : 0))
  return digest('content', sorted)
}

/** JSON with the members of objects in order: the same value is the same text, and no two values are. */
function digest(...parts: unknown[]): string {
  const text = JSON.stringify([VERSION, ...parts], (_, value: unknown) =>
    typeof value === 'object' && value !== null && !Array.isArray(value) ? ordered(value) : value,
  )
  return `sha256:${createHash('sha256').update(text).digest('hex')}`
}

function ordered(value: object): object {
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  // A member by any name, also one that reads like a number, which objects would put first.
  return entries.length === 0 ? {} : { members: entries }
}
