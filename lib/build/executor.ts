/**
 * Carries a plan out: stages at the same time, their steps one after the other, each from the cache or anew. What makes
 * them is loaded when something has to be made.
 */
import { availableParallelism } from 'node:os'
import type PQueue from 'p-queue'
import { CaissonError } from '../errors.js'
import type { Bases } from './bases.js'
import { findHere, findStep, keepStep, remembered, type StepResult } from './cache.js'
import { baseKey, stepKey } from './cache-key.js'
import type { DirectoryContext } from './contexts.js'
import { digestsOfPaths, fetchSource, pathGroup, rootsOf, type SourceGroup, textGroup } from './copy-sources.js'
import { meantAs } from './dockerfile/plan.js'
import type {
  BuildPlan,
  CopySource,
  CopyStep,
  MkdirStep,
  Mount,
  RunStep,
  Source,
  StagePlan,
  Step,
} from './dockerfile/plan-types.js'
import type { Platform } from './dockerfile/platform.js'
import type { SourceFile } from './dockerfile/source.js'
import { type BuildLayer, type Stack, stackId } from './layers.js'
import { Mask } from './mask.js'
import type { BuildOptions } from './options.js'
import type { MountSources } from './run-mounts.js'
import { StageSpace } from './stage-space.js'
import type { Steps } from './steps.js'
import { Tree } from './tree.js'
import type { Workspace } from './workspace.js'

export interface BuiltStage {
  stack: Stack
  key: string
  /** Of all its steps, and of those of the stages that it begins with. */
  keys: readonly string[]
  /** Of each entry of its history: whether it has a layer, and when that was made. */
  made: Map<number, { layer: boolean; created: string }>
}

export interface ExecutorInput {
  space: Workspace
  plan: BuildPlan
  bases: Bases
  context?: DirectoryContext
  source: SourceFile
  options: BuildOptions
  secrets: ReadonlyMap<string, Uint8Array>
  ssh: ReadonlyMap<string, string>
  steps: Steps
}

/** Commands that mostly wait for others should not wait for each other. */
const LEAST_AT_ONCE = 4

/** What a step needs to be done, when its key is not in the cache. */
interface Prepared {
  key: string
  /** `stack`: what it comes on top of. `id`: of the step, for what it prints. */
  make(stack: Stack, id: number, stage: StageSpace): Promise<BuildLayer | undefined>
}

/** By the key of the step above. */
type Keyed = (key: string) => Prepared

/** A step that is looked for before those above it are done. */
interface Ahead {
  content: Promise<Keyed>
  prepared: Promise<Prepared>
  found: Promise<StepResult | undefined>
}

export class Executor {
  readonly #input: ExecutorInput
  readonly #stages = new Map<number, Promise<BuiltStage>>()
  readonly #ahead: Ahead[] = []
  readonly #mask: Mask
  readonly #trees = new Map<string, Promise<Tree>>()
  #queue: Promise<PQueue> | undefined

  constructor(input: ExecutorInput) {
    this.#input = input
    this.#mask = new Mask(input.secrets.values())
  }

  /** Resolved, or rejected with the first failure, when nothing goes on any more. `stop` ends the other stages. */
  async run(stop: (error: unknown) => void): Promise<BuiltStage> {
    const { plan } = this.#input
    for (const stage of plan.stages) {
      const built = this.#build(stage)
      built.catch(stop)
      this.#stages.set(stage.index, built)
    }
    await Promise.allSettled(this.#stages.values())
    await Promise.allSettled(this.#ahead.flatMap(({ content, prepared, found }) => [content, prepared, found]))
    return this.#stage(plan.target.index)
  }

  #stage(index: number): Promise<BuiltStage> {
    return this.#stages.get(index) as Promise<BuiltStage>
  }

  async #build(stage: StagePlan): Promise<BuiltStage> {
    const { steps, source } = this.#input
    // The others are to be there before one of them is asked for.
    await undefined
    let { stack, key, keys, made } = await this.#begin(stage)
    const ahead = this.#lookAhead(stage, key)
    await using own = new StageSpace(this.#input.space, stage)
    for (const [index, step] of stage.steps.entries()) {
      const told = steps.begin(stage, step, index)
      try {
        const prepared = await (ahead[index] as Ahead).prepared
        const found = this.#mayCache(stage) ? await this.#find(ahead[index] as Ahead, prepared.key, stack) : undefined
        const result = found ?? (await this.#make(prepared, stack, told.id, own))
        key = prepared.key
        keys = [...keys, key]
        made = new Map(made).set(step.history, { layer: result.layer !== undefined, created: result.created })
        if (result.layer) stack = [...stack, result.layer]
        told.end(found ? 'cached' : 'done')
      } catch (error) {
        told.fail(error)
        throw error instanceof CaissonError ? source.locate(error, step.span) : error
      }
    }
    return { stack, key, keys, made }
  }

  /**
   * A key does not depend on what the steps above came to, so all of a stage are looked for at once, and files of the
   * context are read for all of them. What fails is told when it is the step's turn.
   */
  #lookAhead(stage: StagePlan, begin: string): Ahead[] {
    const mayCache = this.#mayCache(stage)
    let above = Promise.resolve(begin)
    return stage.steps.map((step) => {
      const content = isOfContext(step) ? this.#prepare(step) : above.then(() => this.#prepare(step))
      const prepared = above.then(async (key) => (await content)(key))
      above = prepared.then(({ key }) => key)
      const found = above.then((key) => (mayCache ? findHere(this.#input.space, key) : undefined))
      const ahead = { content, prepared, found }
      for (const each of [content, prepared, above, found]) each.catch(() => undefined)
      this.#ahead.push(ahead)
      return ahead
    })
  }

  /** What was not there when it was looked for ahead may be by now: other stages have the same steps. */
  async #find({ found }: Ahead, key: string, stack: Stack): Promise<StepResult | undefined> {
    return (await found) ?? findStep(this.#input.space, key, stack)
  }

  async #make({ key, make }: Prepared, stack: Stack, id: number, stage: StageSpace): Promise<StepResult> {
    const { space, plan } = this.#input
    this.#queue ??= makeQueue()
    const queue = await this.#queue
    const layer = await queue.add(() => make(stack, id, stage))
    const created = plan.epoch === undefined ? new Date() : new Date(plan.epoch * 1000)
    const result: StepResult = { ...(layer ? { layer } : {}), created: created.toISOString() }
    await keepStep(space, key, stack, result)
    return result
  }

  #mayCache({ name, index }: StagePlan): boolean {
    const { noCache = false } = this.#input.options
    if (typeof noCache === 'boolean') return !noCache
    return !noCache.some((each) => each.toLowerCase() === name.toLowerCase() || each === String(index))
  }

  async #begin(stage: StagePlan): Promise<BuiltStage> {
    const { base, platform } = stage
    const made = new Map()
    if (base.kind === 'stage') return this.#stage(base.stage)
    if (base.kind === 'scratch') return { stack: [], key: baseKey({ kind: 'scratch', platform }), keys: [], made }
    const image = await this.#image(base, platform)
    if (image) {
      const key = baseKey({ kind: 'image', digest: image.base.digest, image: image.base, platform })
      return { stack: image.stack, key, keys: [], made }
    }
    return this.#beginDirectory(stage, base)
  }

  /** A directory of the caller's in place of a base image: all of it is the first layer. */
  async #beginDirectory(stage: StagePlan, base: Source): Promise<BuiltStage> {
    const { platform } = stage
    const step = everything(base, stage)
    const empty = baseKey({ kind: 'scratch', platform })
    const { key, make } = (await this.#prepareCopy(step))(empty)
    const found = await findStep(this.#input.space, key, [])
    await using own = new StageSpace(this.#input.space, stage)
    const { layer } = found ?? (await this.#make({ key, make }, [], 0, own))
    const content = baseKey({ kind: 'content', digest: key, platform })
    return { stack: layer ? [layer] : [], key: content, keys: [key], made: new Map() }
  }

  /** The image that a source is, if it is one. */
  async #image(source: Source, platform: Platform) {
    const { bases } = this.#input
    if (source.kind === 'image')
      return bases.image(source.name, source.platform).catch((error) => {
        throw error instanceof CaissonError ? meantAs(error, source.meant) : error
      })
    if (source.kind !== 'named') return undefined
    const named = await bases.named(source.name)
    return 'image' in named ? bases.image(named.image, platform) : undefined
  }

  async #prepare(step: Step): Promise<Keyed> {
    const { space, plan } = this.#input
    if (step.kind === 'copy') return this.#prepareCopy(step)
    if (step.kind === 'run') return this.#prepareRun(step)
    return (key) => ({
      key: stepKey(key, step),
      make: (stack, _, stage) => makeDirectory(space, stage, stack, step, plan.epoch),
    })
  }

  async #prepareCopy(step: CopyStep): Promise<Keyed> {
    const { space, plan, ssh } = this.#input
    const paths = step.sources.filter((source): source is CopySource & { kind: 'path' } => source.kind === 'path')
    const digests = await this.#digests(step, paths)
    const fetched = await Promise.all(
      step.sources.map((source) => (source.kind === 'path' ? undefined : fetchSource(space, source, step, ssh))),
    )
    let next = 0
    const sources = fetched.map((each) => each?.digest ?? (digests[next++] as string))
    const make = async (stack: Stack, _: number, stage: StageSpace) => {
      const groups: SourceGroup[] = []
      // Two sources may have a directory in common, which is to be there once.
      const whole = step.sources.length === 1 && step.files.length === 0
      if (paths.length > 0) groups.push(pathGroup(await this.#tree(step.from, rootsOf(paths)), paths, step, { whole }))
      for (const each of fetched) if (each) groups.push(each.group)
      if (step.files.length > 0) groups.push(textGroup(step))
      const { copyStep } = await import('./copy-step.js')
      return copyStep(space, await stage.view(), stack, step, groups, plan.epoch)
    }
    return (key) => ({ key: stepKey(key, step, { sources }), make })
  }

  async #digests(step: CopyStep, paths: Array<CopySource & { kind: 'path' }>): Promise<string[]> {
    if (paths.length === 0) return []
    const { space } = this.#input
    const compute = async () => digestsOfPaths(space, await this.#tree(step.from, rootsOf(paths)), paths, step)
    const stack = await this.#stackOf(step.from)
    if (!stack) return compute()
    const { excludes, destination } = step
    return remembered(space, { stack: stackId(stack), paths, excludes, destination }, paths.length, compute)
  }

  /** Layers of a source that does not change; undefined for directories of the caller's. */
  async #stackOf(source: Source): Promise<Stack | undefined> {
    if (source.kind === 'stage') return (await this.#stage(source.stage)).stack
    if (source.kind === 'scratch') return []
    return (await this.#image(source, this.#input.plan.target.platform))?.stack
  }

  async #tree(source: Source, paths: readonly string[]): Promise<Tree> {
    const { context, bases } = this.#input
    const stack = await this.#stackOf(source)
    if (stack) return this.#treeOf(stack, paths)
    if (source.kind === 'context') return context ? context.tree() : new Tree([])
    const named = await bases.named((source as Source & { kind: 'named' }).name)
    return (named as DirectoryContext).tree()
  }

  /** Of a stage or an image, which does not change: what was read for its digests is there for the copy. */
  #treeOf(stack: Stack, paths: readonly string[]): Promise<Tree> {
    const key = [stackId(stack), ...paths].join('\0')
    let tree = this.#trees.get(key)
    if (!tree) {
      tree = readTree(this.#input.space, stack, paths)
      this.#trees.set(key, tree)
    }
    return tree
  }

  async #prepareRun(step: RunStep): Promise<Keyed> {
    const { space, plan, options, secrets, ssh, steps } = this.#input
    const contents = await Promise.all(step.mounts.map((mount) => this.#mountContent(mount)))
    const sources: MountSources = { secrets, ssh, materialise: (mount) => this.#materialise(mount) }
    const make = async (stack: Stack, id: number, stage: StageSpace) => {
      await stage.closeView()
      const { prepareMounts } = await import('./run-mounts.js')
      const { runStep } = await import('./run-step.js')
      const prepared = await prepareMounts(space, step, sources)
      try {
        const { platform } = stage
        return await runStep(space, stack, step, prepared, options, this.#mask, plan.epoch, platform, (stream, data) =>
          steps.output(id, stream, data),
        )
      } finally {
        await prepared.release()
      }
    }
    return (key) => ({ key: stepKey(key, step, { mounts: contents }), make })
  }

  async #mountContent(mount: Mount): Promise<string | undefined> {
    if (mount.type !== 'bind' && mount.type !== 'cache') return undefined
    const { source } = mount
    if (source.kind === 'scratch') return undefined
    const stack = await this.#stackOf(source)
    if (stack) return stackId(stack)
    const step = everything(source, { span: NOWHERE })
    return (await digestsOfPaths(this.#input.space, await this.#tree(source, []), [pathOf(mount)], step))[0]
  }

  /** The root of the copy is the file or directory itself. */
  async #materialise(mount: Mount & { type: 'bind' | 'cache' }): Promise<string> {
    const { space } = this.#input
    const path = pathOf(mount)
    const group = pathGroup(
      await this.#tree(mount.source, [path.path]),
      [path],
      everything(mount.source, { span: NOWHERE }),
      { whole: true },
    )
    const items = group.select({ path: '/content' })
    const { materialise } = await import('./copy-step.js')
    return `${await materialise(space, items)}/content`
  }
}

const isOfContext = (step: Step) =>
  step.kind === 'copy' && step.from.kind === 'context' && step.sources.every(({ kind }) => kind === 'path')

async function readTree(space: Workspace, stack: Stack, paths: readonly string[]): Promise<Tree> {
  if (stack.length === 0) return new Tree([])
  const { StageView } = await import('./view.js')
  await using view = await StageView.open(space, stack)
  return await view.tree(paths)
}

async function makeQueue(): Promise<PQueue> {
  const { default: Queue } = await import('p-queue')
  return new Queue({ concurrency: Math.max(LEAST_AT_ONCE, availableParallelism()) })
}

async function makeDirectory(
  space: Workspace,
  stage: StageSpace,
  stack: Stack,
  step: MkdirStep,
  epoch: number | undefined,
) {
  const { mkdirStep } = await import('./copy-step.js')
  return mkdirStep(space, await stage.view(), stack, step, epoch)
}

const NOWHERE = { start: { line: 1, column: 1 }, end: { line: 1, column: 1 } }

const pathOf = ({ path }: Mount & { type: 'bind' | 'cache' }): CopySource & { kind: 'path' } => ({
  kind: 'path',
  path: path.startsWith('/') ? path : `/${path}`,
  required: true,
  unpack: false,
})

/** A copy of all of a source to the root. */
function everything(from: Source, { span }: Pick<StagePlan, 'span'>): CopyStep {
  return {
    kind: 'copy',
    from,
    sources: [{ kind: 'path', path: '/', required: true, unpack: false }],
    files: [],
    destination: '/',
    link: false,
    excludes: [],
    span,
    title: '',
    history: -1,
  }
}
