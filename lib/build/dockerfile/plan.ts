/**
 * From the text of a Dockerfile to what has to be done. Pure: what images are made of is asked of the caller, who looks
 * them up.
 */

import { CaissonError } from '../../errors.js'
import { didYouMean, nearest } from '../../util/suggest.js'
import type { Environment } from './environment.js'
import { evaluate } from './evaluate.js'
import { type BuildContext, EvaluationContext, spend } from './evaluation.js'
import { globalArgs, predefinedArgs, proxyEnv } from './global-args.js'
import { IgnoreMatcher } from './ignore.js'
import { completeImageName } from './image-name.js'
import type { Stage } from './instruction.js'
import type { Escape } from './lines.js'
import { Linter, type LintOptions } from './lint.js'
import { lintBasePlatform, lintDefaultNames, lintFrom } from './lint-from.js'
import { parseDockerfile } from './parser.js'
import type { Place } from './place.js'
import type { BaseImage, BuildPlan, ImageState, Source, StagePlan } from './plan-types.js'
import { formatPlatform, type Platform, parsePlatform } from './platform.js'
import { fault, type SourceFile } from './source.js'
import { expandFrom, namesTaken, refuseCircles, StageNode, stageIndex } from './stage-node.js'
import { emptyImage, StageState, setOwn } from './stage-state.js'
import { readStages } from './stages.js'
import { quote } from './text.js'
import { unusedArgs } from './unused-args.js'

export interface PlanOptions {
  /** For errors. Default: Dockerfile. */
  fileName?: string
  /** A stage by its name or index. Default: the last. */
  target?: string
  args?: Readonly<Record<string, string>>
  /** Put on the image that comes out. */
  labels?: Readonly<Record<string, string>>
  /** Built for. Default: `buildPlatform`. */
  platform?: string
  /** Built on. Default: linux and the architecture of this process. */
  buildPlatform?: string
  /** Names of contexts that stand for stages or images. */
  contexts?: Iterable<string>
  /** The patterns of .dockerignore, for a warning about what COPY cannot find. */
  ignore?: readonly string[]
  /** Instead of the file's `# check=`. */
  checks?: LintOptions
  /** `security.insecure`, `network.host`, `device`. Without them instructions that ask for these are refused. */
  allow?: Iterable<string>
}

/** What must be known before the plan can be finished. */
export type WantedImage =
  | { kind: 'image'; name: string; platform: Platform; place: Place }
  /** A context of the caller's in place of an image; it may be a directory, which has no configuration. */
  | { kind: 'named'; name: string; platform: Platform; place: Place }

const ARCHITECTURES: Record<string, string> = { x64: 'amd64', ia32: '386', ppc64: 'ppc64le' }
const HOST: Platform = { os: 'linux', architecture: ARCHITECTURES[process.arch] ?? process.arch }

/**
 * @param resolve finds a base image; undefined for a context that is no image.
 * @throws CaissonError ERR_CAISSON_DOCKERFILE, and what `resolve` throws, placed at the FROM.
 */
export async function planBuild(
  text: string,
  options: PlanOptions,
  resolve: (wanted: WantedImage) => Promise<BaseImage | undefined>,
): Promise<BuildPlan> {
  const planner = new BuildPlanner(text, options)
  for (let wanted = planner.wanted(); wanted.length > 0; wanted = planner.wanted()) {
    const images = await Promise.all(wanted.map((each) => resolve(each).catch((error) => planner.misses(each, error))))
    wanted.forEach((each, i) => {
      planner.supply(each, images[i])
    })
  }
  return planner.finish()
}

export class BuildPlanner {
  private readonly source: SourceFile
  private readonly linter: Linter
  private readonly build: BuildContext
  private readonly nodes: StageNode[] = []
  private readonly byName = new Map<string, StageNode>()
  private readonly contexts: Map<string, string>
  private readonly platform: Platform
  private readonly target: StageNode
  private readonly options: PlanOptions
  private readonly globals: Environment
  private readonly escaper: Escape
  private readonly epoch?: number
  private readonly images = new Map<string, BaseImage | null>()

  /** @throws CaissonError ERR_CAISSON_DOCKERFILE for everything that is wrong without looking at an image. */
  constructor(text: string, options: PlanOptions = {}) {
    this.options = options
    const file = parseDockerfile(text, options.fileName)
    this.source = file.source
    this.escaper = file.escape
    this.linter = new Linter(file.source, options.checks)
    const { args, stages } = readStages(file, this.linter)

    const buildArgs = new Map(Object.entries(options.args ?? {}))
    const host = parsePlatform(options.buildPlatform ?? formatPlatform(HOST), HOST)
    this.platform = options.platform === undefined ? host : parsePlatform(options.platform, host)
    const stageName = options.target ?? stages.at(-1)?.from.stage ?? 'default'
    const predefined = predefinedArgs(host, this.platform, stageName, buildArgs)
    lintDefaultNames(this.linter, stages, predefined, args, this.escaper)
    this.globals = globalArgs(predefined, args, buildArgs, this.escaper)
    this.epoch = epochOf(buildArgs.get('SOURCE_DATE_EPOCH') ?? this.globals.get('SOURCE_DATE_EPOCH'))

    this.contexts = new Map()
    for (const name of options.contexts ?? []) this.contexts.set(contextKey(name), name)
    const declared = new Set([...this.globals.names(), ...args.flatMap((each) => each.args.map(({ key }) => key))])
    for (const stage of stages) this.addStage(stage, declared)
    this.target = this.findTarget(options.target)
    refuseCircles(
      this.nodes,
      this.nodes.map((node) => this.needs(node)),
    )
    this.build = {
      linter: this.linter,
      escape: this.escaper,
      buildArgs,
      globals: this.globals,
      quietEnv: proxyEnv(buildArgs),
      ...(options.ignore ? { ignore: new IgnoreMatcher(options.ignore) } : {}),
      allow: new Set(options.allow ?? []),
      spent: 0,
    }
  }

  /** Images whose configurations are needed next. Empty when the plan can be finished. */
  wanted(): WantedImage[] {
    const wanted = new Map<string, WantedImage>()
    for (const node of this.reachable()) {
      const image = this.imageOf(node)
      if (image !== undefined) continue
      const { base, place } = node
      if (base.kind === 'image') wanted.set(imageKey(base), { ...base, place })
      if (base.kind !== 'named') continue
      const named = { ...base, platform: node.platform ?? this.platform, place }
      wanted.set(imageKey(named), named)
    }
    return [...wanted.values()]
  }

  /** Throws what kept an image from being found, placed at its FROM, and with the stage that may have been meant. */
  misses({ place, name }: WantedImage, error: unknown): never {
    if (!(error instanceof CaissonError)) throw error
    const written = place.node.args[0]?.text ?? name
    throw place.source.locate(meantAs(error, nearest(written.toLowerCase(), this.byName.keys())), place.span)
  }

  supply(wanted: WantedImage, image: BaseImage | undefined): void {
    this.images.set(imageKey(wanted), image ?? null)
  }

  /** @throws CaissonError ERR_CAISSON_DOCKERFILE */
  finish(): BuildPlan {
    const stages = this.reachable().map((node) => this.evaluateStage(node))
    const target = stages.find(({ index }) => index === this.target.index) as StagePlan
    for (const [name, value] of Object.entries(this.options.labels ?? {})) {
      target.image.config.Labels ??= {}
      setOwn(target.image.config.Labels, name, value)
    }
    if (this.options.platform !== undefined) Object.assign(target.image, { variant: undefined }, this.platform)
    return {
      stages,
      target,
      warnings: this.linter.finish(this.source),
      unusedArgs: unusedArgs(
        this.build.buildArgs.keys(),
        this.globals.names(),
        this.reachable().flatMap(({ instructions }) => instructions),
      ),
      ...(this.epoch === undefined ? {} : { epoch: this.epoch }),
    }
  }

  private addStage(stage: Stage, declared: ReadonlySet<string>): void {
    const { place, image, platform } = stage.from
    const name = expandFrom(place, image.text, this.globals, this.escaper)
    const chosen = platform && expandFrom(place, platform.text, this.globals, this.escaper)
    lintFrom(this.linter, stage.from, name, chosen, declared, this.globals)
    if (name.text === '')
      throw place.fault(image, `base name (${image.text}) should not be blank`, 'Give the argument a default value.')
    const exact = platform && chosen && this.platformOf(stage, platform.text, chosen.text, [...chosen.unmatched])
    const own = stage.from.stage === undefined ? undefined : this.contextNamed(stage.from.stage)
    const base: Source = own === undefined ? this.baseOf(stage, name.text, exact) : { kind: 'named', name: own }
    const node = new StageNode(this.nodes.length, stage, base, exact, own !== undefined)
    this.nodes.push(node)
    if (stage.from.stage !== undefined) this.byName.set(stage.from.stage, node)
  }

  private platformOf({ from }: Stage, written: string, text: string, unmatched: string[]): Platform {
    const meant = unmatched.map((name) => nearest(name, this.globals.names())).find((name) => name !== undefined)
    if (text === '')
      throw from.place.fault(
        from.platform,
        `empty platform value from expression ${written}${didYouMean(meant)}`,
        'Write --platform=$BUILDPLATFORM or --platform=linux/amd64.',
      )
    return from.place.at(from.platform, () => {
      try {
        return parsePlatform(text, this.platform)
      } catch (error) {
        const { message, hint } = error as ReturnType<typeof fault>
        throw fault(`failed to parse platform ${written}: ${message}${didYouMean(meant)}`, hint)
      }
    })
  }

  private baseOf({ from }: Stage, name: string, platform: Platform | undefined): Source {
    const below = this.byName.get(name.toLowerCase())
    if (below) return { kind: 'stage', stage: below.index }
    if (name === 'scratch') return { kind: 'scratch' }
    return from.place.at(from.image, () => this.external(name, platform ?? this.platform))
  }

  /** An image, or a context that stands for it. */
  private external(name: string, platform: Platform): Source {
    const context = this.contextNamed(name)
    if (context !== undefined) return { kind: 'named', name: context }
    return { kind: 'image', name: completeImageName(name), platform }
  }

  private contextNamed(name: string): string | undefined {
    return /^(?:scratch|context)$/i.test(name) ? undefined : this.contexts.get(contextKey(name))
  }

  private findTarget(target: string | undefined): StageNode {
    const last = this.nodes.at(-1) as StageNode
    if (target === undefined || target === '') return last
    const found = this.byName.get(target.toLowerCase()) ?? this.nodes[stageIndex(target) ?? -1]
    if (found) return found
    const names = this.nodes.map(({ name }) => name)
    const meant = nearest(target.toLowerCase(), names)
    const hint = `There are ${names.slice(0, 20).join(', ')}.`
    throw fault(`target stage ${quote(target)} could not be found${didYouMean(meant)}`, hint)
  }

  /** What an instruction of a stage takes files from. */
  private sourceOf(node: StageNode, place: Place, name: string): Source {
    if (place.node.keyword.text.toUpperCase() === 'COPY') {
      const index = stageIndex(name)
      if (index !== undefined) {
        if (!this.nodes[index]) throw place.fault(undefined, `invalid stage index ${index}`, 'Indices begin with 0.')
        return this.earlier(node, place, name, this.nodes[index])
      }
    }
    const stage = this.byName.get(name.toLowerCase())
    if (stage) return this.earlier(node, place, name, stage)
    if (name === 'scratch') return { kind: 'scratch' }
    const source = place.at(undefined, () => this.external(name, this.platform))
    const meant = nearest(name.toLowerCase(), this.byName.keys())
    return source.kind === 'image' && meant !== undefined ? { ...source, meant } : source
  }

  private earlier(node: StageNode, place: Place, name: string, stage: StageNode): Source {
    if (stage.index < node.index) return { kind: 'stage', stage: stage.index }
    throw place.fault(
      undefined,
      `cannot copy from stage ${quote(name)}, it needs to be defined before current stage ${quote(node.name)}`,
      'Move the stage up.',
    )
  }

  /** The indices of the stages that a stage takes from, its base included. */
  private needs(node: StageNode): number[] {
    const needs = node.base.kind === 'stage' ? [node.base.stage] : []
    for (const instruction of node.instructions)
      for (const name of namesTaken(instruction)) {
        const index = instruction.name === 'COPY' ? stageIndex(name) : undefined
        const stage = index === undefined ? this.byName.get(name.toLowerCase()) : this.nodes[index]
        if (stage) needs.push(stage.index)
        else if (index !== undefined)
          throw instruction.place.fault(undefined, `invalid stage index ${index}`, 'Indices begin with 0.')
      }
    return needs
  }

  /** What the target needs, in the order of the file, with instructions of ONBUILD as far as bases are known. */
  private reachable(): StageNode[] {
    const found = new Set<StageNode>()
    const queue = [this.target]
    for (let node = queue.pop(); node; node = queue.pop()) {
      if (found.has(node)) continue
      found.add(node)
      this.inherit(node)
      for (const need of this.needs(node)) queue.push(this.nodes[need] as StageNode)
    }
    return [...found].sort((a, b) => a.index - b.index)
  }

  /** Puts what ONBUILD brings into a stage and those below it, as far as their images are known. */
  private inherit(node: StageNode): void {
    const chain: StageNode[] = []
    for (let each: StageNode | undefined = node; each && !each.triggers; each = this.below(each)) chain.push(each)
    for (const each of chain.reverse()) {
      const below = this.below(each)
      const image = this.imageOf(each)
      if (below ? !below.triggers : image === undefined) return
      each.inherit(below ? below.expressions : (image?.config.OnBuild ?? []))
    }
  }

  private below({ base }: StageNode): StageNode | undefined {
    return base.kind === 'stage' ? this.nodes[base.stage] : undefined
  }

  /** Undefined while it is not known, null when there is none. */
  private imageOf({ base, platform }: StageNode): BaseImage | null | undefined {
    if (base.kind === 'image') return this.images.get(imageKey(base))
    return base.kind === 'named' ? this.images.get(imageKey({ ...base, platform: platform ?? this.platform })) : null
  }

  private evaluateStage(node: StageNode): StagePlan {
    const { base, place } = node
    const image = this.imageOf(node) ?? undefined
    const below = this.below(node)?.state
    const platform = below?.platform ?? node.platform ?? this.platform
    const begin: ImageState = below?.image() ?? image ?? emptyImage(platform)
    if (image) lintBasePlatform(this.linter, node, image, node.platform ?? this.platform)
    spend(this.build, place, begin.history.length + (below?.env.names().length ?? 0) + sizeOf(begin.config))
    const state = new StageState(begin, this.epoch, below)
    node.state = state
    const context = new EvaluationContext(this.build, state, (at, name) => this.sourceOf(node, at, name))
    for (const instruction of node.instructions) evaluate(context, instruction)
    return {
      index: node.index,
      name: node.name,
      span: place.span,
      base,
      ...(image ? { baseDigest: image.digest } : {}),
      platform,
      steps: context.steps,
      image: state.image(),
    }
  }
}

/** About how much there is to copy for a stage that goes on from another. */
function sizeOf({ Labels = {}, ExposedPorts = {}, Volumes = {}, Env = [] }: ImageState['config']): number {
  return Env.length + [Labels, ExposedPorts, Volumes].reduce((sum, each) => sum + Object.keys(each).length, 0)
}

const LATEST_EPOCH = 253402300799

function epochOf(text: string | undefined): number | undefined {
  if (text === undefined || text === '') return undefined
  const seconds = /^[-+]?\d+$/.test(text) ? Number(text) : Number.NaN
  if (Math.abs(seconds) <= LATEST_EPOCH) return seconds
  throw fault(`invalid SOURCE_DATE_EPOCH: ${text}`, 'Give seconds since 1970.')
}

/** Under which a context is found: the name of an image in full, where it is one. */
function contextKey(name: string): string {
  try {
    return completeImageName(name)
  } catch {
    return name.toLowerCase()
  }
}

/** What registries say of names that they do not have, or that are nobody's. */
const NOT_HAD = new Set([
  'ERR_CAISSON_IMAGE_NOT_FOUND',
  'ERR_CAISSON_REGISTRY_AUTH',
  'ERR_CAISSON_REGISTRY_DENIED',
  'ERR_CAISSON_REGISTRY_UNREACHABLE',
])

/** The error of an image that cannot be had, with the stage that may have been meant. */
export function meantAs(error: CaissonError, stage: string | undefined): CaissonError {
  if (stage === undefined || !NOT_HAD.has(error.code)) return error
  const { code, message, hint, cause } = error
  return new CaissonError(code, message + didYouMean(stage), { stage: error.stage, hint, cause })
}

function imageKey(image: { kind: string; name: string; platform: Platform }): string {
  return `${image.kind} ${image.name} ${formatPlatform(image.platform)}`
}
