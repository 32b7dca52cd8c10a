/** Builds an image from a Dockerfile: reads, plans, executes, and gives the result its names. */

import { setMaxListeners } from 'node:events'
import { readFile } from 'node:fs/promises'
import { CaissonError, invalidArgument } from '../errors.js'
import { Image } from '../image.js'
import type { TransferEvent } from '../registry/progress.js'
import { variableIn } from '../util/variable.js'
import { agentsOf } from './agents.js'
import { Bases } from './bases.js'
import { openContext } from './contexts.js'
import type { LintWarning } from './dockerfile/lint.js'
import { planBuild } from './dockerfile/plan.js'
import type { BuildPlan } from './dockerfile/plan-types.js'
import { SourceFile } from './dockerfile/source.js'
import { type BuiltStage, Executor } from './executor.js'
import { finishImage, recordsOf } from './finish.js'
import { checkTypes } from './option-types.js'
import type { BuildEvent, BuildOptions, SecretSource } from './options.js'
import { checkOneImage, type ForPlatform, platformsOf, writeIndex } from './platforms.js'
import { Steps } from './steps.js'
import { Workspace } from './workspace.js'

/** @param contextOnly the Dockerfile is one of the context: who sends it does not name files of this machine */
export async function build(options: BuildOptions, { contextOnly = false } = {}): Promise<Image> {
  checkOptions(options)
  return inWorkspace(options, (space, stop) => {
    space.contextOnly = contextOnly
    return buildIn(space, options, stop)
  })
}

/** Warnings of the checks for a Dockerfile; nothing is built. */
export async function check(options: BuildOptions): Promise<LintWarning[]> {
  checkOptions(options)
  return inWorkspace(options, async (space) => {
    const [platform] = platformsOf(options.platform)
    return (await planned(await prepared(space, options), options, platform)).warnings
  })
}

/** Does work in a workspace of its own, until it is done, or the caller aborts it, or it calls `stop` with what failed. */
async function inWorkspace<T>(
  { signal }: BuildOptions,
  work: (space: Workspace, stop: (error: unknown) => void) => Promise<T>,
): Promise<T> {
  if (signal?.aborted) throw aborted(signal)
  const stopping = new AbortController()
  // As many as there are steps may listen.
  setMaxListeners(0, stopping.signal)
  const abort = () => stopping.abort(signal?.reason)
  signal?.addEventListener('abort', abort, { once: true })
  const space = new Workspace(stopping.signal)
  let failure: { error: unknown } | undefined
  try {
    return await work(space, (error) => {
      failure ??= { error }
      stopping.abort(error)
    })
  } catch (error) {
    if (signal?.aborted) throw aborted(signal)
    throw failure?.error ?? error
  } finally {
    signal?.removeEventListener('abort', abort)
    // A context that nothing was copied from may still be walked.
    stopping.abort('ended')
    await space[Symbol.asyncDispose]()
  }
}

async function buildIn(space: Workspace, options: BuildOptions, stop: (error: unknown) => void): Promise<Image> {
  const tell = (event: BuildEvent) => options.onProgress?.(event)
  space.notice = (message) => tell({ type: 'notice', message })
  const platforms = platformsOf(options.platform)
  if (platforms.length > 1) checkOneImage(options)
  const ready = await prepared(space, options)
  const targets = [options.cacheTo ?? []].flat()
  const inline = targets.some(({ type }) => type === 'inline')
  // Of an index nothing is compressed when it is sent: its digests are the caller's then.
  const compression = options.compression ?? (platforms.length > 1 && options.push ? 'gzip' : 'none')
  const steps = new Steps(tell)
  const made: Array<ForPlatform & { built: BuiltStage }> = []
  // Once: of a pipe nothing is left for the next platform.
  let secrets: Map<string, Uint8Array> | undefined
  for (const platform of platforms) {
    const plan = await planned(ready, options, platform)
    if (made.length === 0) await begin(space, plan, options, tell)
    const { context, bases, dockerfile } = ready
    secrets ??= await readSecrets(options.secrets)
    const executor = new Executor({
      space,
      plan,
      bases,
      context,
      source: new SourceFile(dockerfile.text, dockerfile.name),
      options,
      secrets,
      ssh: agentsOf(options.ssh),
      steps: platforms.length > 1 ? steps.of(platform) : steps,
    })
    const built = await executor.run(stop)
    made.push({ plan, built, descriptor: await finishImage(space, plan, built, { compression, inline }) })
  }
  const root = made.length > 1 ? await writeIndex(space, made) : (made[0] as ForPlatform).descriptor
  const [first, ...others] = [options.tag ?? []].flat()
  const image = await Image.made(root, first)
  for (const tag of others) await image.tag(tag)
  const outputs = [options.output ?? []].flat()
  if (outputs.length > 0) {
    const { writeIndexes, writeOutputs } = await import('./output.js')
    if (made.length > 1) await writeIndexes(space, root, made, options)
    else await writeOutputs(space, image, (made[0] as { built: BuiltStage }).built.stack, outputs)
  }
  if (options.push) await push(image, [options.tag ?? []].flat(), options, tell)
  for (const target of targets) {
    if (target.type === 'inline') continue
    const { exportCache } = await import('./shared-cache.js')
    const least = () => new Map(made.flatMap(({ built }) => [...recordsOf(space, built)]))
    await exportCache(space, target, target.mode === 'min' ? least() : space.used, options)
  }
  return image
}

/** What is told and opened when it is known that there is something to do. */
async function begin(
  space: Workspace,
  plan: BuildPlan,
  options: BuildOptions,
  tell: (event: BuildEvent) => void,
): Promise<void> {
  for (const warning of plan.warnings) tell({ type: 'warning', warning })
  for (const each of plan.unusedArgs) tell({ type: 'unused-arg', ...each })
  for (const source of [options.cacheFrom ?? []].flat()) {
    const { SharedCache } = await import('./shared-cache.js')
    space.caches.push(await SharedCache.open(space, source, options))
  }
}

/** What plans are made of, whatever they are for. */
type Prepared = Awaited<ReturnType<typeof prepared>>

async function prepared(space: Workspace, options: BuildOptions) {
  // Images are looked for when the store is open; until then the file is read.
  const store = space.open()
  store.catch(() => undefined)
  const { context, dockerfile } = await beginContext(space, options)
  return { store, context, dockerfile, bases: new Bases(space, options) }
}

/** What is to be done; nothing of it is done yet. */
async function planned(
  { store, context, dockerfile, bases }: Prepared,
  options: BuildOptions,
  platform: string | undefined,
): Promise<BuildPlan> {
  const plan = await planBuild(
    dockerfile.text,
    {
      fileName: dockerfile.name,
      target: options.target,
      args: argumentsOf(options.args),
      labels: options.labels,
      platform,
      contexts: Object.keys(options.contexts ?? {}),
      ignore: context?.ignore,
      allow: options.allow,
    },
    (wanted) => bases.resolve(wanted),
  )
  await store
  return plan
}

async function beginContext(space: Workspace, options: BuildOptions) {
  const opened = await openContext(space, options)
  const { context, dockerfile } = opened
  // Most likely it will be needed, and walking it goes on beside all else. What fails is told when it is needed.
  if (context && /^\s*(?:COPY|ADD)\s/im.test(dockerfile.text)) context.tree().catch(() => undefined)
  return opened
}

async function push(
  image: Image,
  tags: readonly string[],
  { auth, signal, compression }: BuildOptions,
  tell: (event: BuildEvent) => void,
): Promise<void> {
  for (const tag of tags) {
    const onProgress = (event: TransferEvent) => tell({ type: 'transfer', image: tag, event })
    const { digest } = await image.push(tag, { auth, signal, compression, onProgress })
    tell({ type: 'pushed', image: tag, digest })
  }
}

function argumentsOf(args: BuildOptions['args'] = {}): Record<string, string> {
  return Object.fromEntries(
    Object.entries(args).flatMap(([name, given]) => {
      // As docker: a name alone takes the value of this process.
      const value = given ?? variableIn(process.env, name)
      return value === undefined ? [] : [[name, value]]
    }),
  )
}

async function readSecrets(secrets: Record<string, SecretSource> = {}): Promise<Map<string, Uint8Array>> {
  const read = new Map<string, Uint8Array>()
  for (const [id, source] of Object.entries(secrets)) read.set(id, await readSecret(id, source))
  return read
}

async function readSecret(id: string, source: SecretSource): Promise<Uint8Array> {
  if (typeof source === 'string') return Buffer.from(source)
  if (source instanceof Uint8Array) return source
  if ('env' in source) {
    const value = variableIn(process.env, source.env)
    if (value === undefined) throw invalidArgument(`secrets.${id}.env`, source.env, 'a variable that is set')
    return Buffer.from(value)
  }
  try {
    return await readFile(source.file)
  } catch (error) {
    throw new CaissonError('ERR_CAISSON_FILE', `secrets.${id}: ${source.file} cannot be read`, {
      stage: 'build',
      hint: 'Name a file that this user can read.',
      cause: error as Error,
    })
  }
}

function checkOptions(options: BuildOptions): void {
  if (typeof options !== 'object' || options === null) throw invalidArgument('options', options, 'an object')
  for (const name of Object.keys(options))
    if (!KNOWN.has(name))
      throw new CaissonError('ERR_CAISSON_INVALID_ARGUMENT', `there is no option ${name} of a build`, {
        stage: 'options',
        hint: `There are: ${[...KNOWN].join(', ')}.`,
      })
  checkTypes(options)
  const { network = 'default', push, tag } = options
  if (!['default', 'none', 'host'].includes(network)) throw invalidArgument('network', network, 'default, none or host')
  if (push && [tag ?? []].flat().length === 0) throw invalidArgument('push', push, 'possible without a tag: give one')
}

const NAMES: Record<keyof BuildOptions, true> = {
  context: true,
  dockerfile: true,
  target: true,
  args: true,
  tag: true,
  labels: true,
  platform: true,
  noCache: true,
  pull: true,
  network: true,
  secrets: true,
  ssh: true,
  contexts: true,
  allow: true,
  limits: true,
  stepTimeout: true,
  ulimits: true,
  extraHosts: true,
  shmSize: true,
  output: true,
  push: true,
  cacheFrom: true,
  cacheTo: true,
  auth: true,
  compression: true,
  onProgress: true,
  signal: true,
}
const KNOWN = new Set(Object.keys(NAMES))

function aborted(signal: AbortSignal): CaissonError {
  return new CaissonError('ERR_CAISSON_ABORTED', 'build: cancelled', {
    stage: 'build',
    cause: signal.reason instanceof Error ? signal.reason : undefined,
  })
}
