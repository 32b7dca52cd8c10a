/** What the instructions of one stage are evaluated with. */
import type { IgnoreMatcher } from './ignore.js'
import type { Escape } from './lines.js'
import type { Linter } from './lint.js'
import { lintUndefined } from './lint-variables.js'
import type { Place } from './place.js'
import type { Source, Step } from './plan-types.js'
import { type ExpansionOptions, expand, type Variables } from './shell.js'
import type { StageState } from './stage-state.js'
import type { Token } from './words.js'

/**
 * Variables of all commands of a build together, and what stages copy from those below them. Each line of a file can ask
 * for as much as all lines before it brought in, so a small file can ask for more than there is memory.
 */
const MOST_COPIES = 5_000_000

/** What is the same for all stages. */
export interface BuildContext {
  linter: Linter
  escape: Escape
  /** What the caller set, by name. */
  buildArgs: ReadonlyMap<string, string>
  /** What ARG declared above the first FROM, and what is predefined. */
  globals: Variables
  /** Proxies among the build arguments, as `NAME=value`. */
  quietEnv: string[]
  /** What is left out of the context. */
  ignore?: IgnoreMatcher
  /** Privileges that the caller granted. */
  allow: ReadonlySet<string>
  /** Of MOST_COPIES. */
  spent: number
}

/** @throws CaissonError ERR_CAISSON_DOCKERFILE when that is too much. */
export function spend(build: BuildContext, place: Place, copies: number): void {
  build.spent += copies
  if (build.spent > MOST_COPIES)
    throw place.fault(
      undefined,
      'this build has too many variables and stages',
      'Set fewer variables, and use fewer stages that go on from others.',
    )
}

export class EvaluationContext {
  readonly build: BuildContext
  readonly state: StageState
  readonly steps: Step[] = []
  /** The last instruction of each kind of which only one counts. */
  readonly seen = new Map<string, Place>()
  /** What --from, or from= of a mount, stands for. */
  readonly sourceOf: (place: Place, from: string) => Source

  constructor(build: BuildContext, state: StageState, sourceOf: (place: Place, from: string) => Source) {
    this.build = build
    this.state = state
    this.sourceOf = sourceOf
  }

  get linter(): Linter {
    return this.build.linter
  }

  get globals(): Variables {
    return this.build.globals
  }

  get buildArgs(): ReadonlyMap<string, string> {
    return this.build.buildArgs
  }

  /** Text with variables filled in, and quotes and escapes taken away. */
  expand(place: Place, token: Token): string {
    return this.run(place, token, token.text).text
  }

  expandWords(place: Place, token: Token): string[] {
    return this.run(place, token, token.text).words
  }

  /** A part of a token, as the value of a mount's field. */
  expandPart(place: Place, token: Token, text: string): string {
    return this.run(place, token, text).text
  }

  /** The content of a here-document: quotes are characters there, and the escape is always the backslash. */
  expandContent(place: Place, content: string): string {
    return this.run(place, undefined, content, { plainQuotes: true, escape: '\\' }).text
  }

  /** The environment of a command that runs. */
  takeEnvironment(place: Place): string[] {
    const texts = this.state.env.texts()
    spend(this.build, place, texts.length)
    return texts
  }

  /** An instruction for people. What cannot be expanded stays as it is. */
  title(place: Place, text = place.node.text.text, variables: Variables = this.state.env, raw = false): string {
    const [keyword = '', rest] = text.split(/ (.*)/s, 2)
    if (rest === undefined) return keyword.toUpperCase()
    const options = raw ? { rawQuotes: true, keepUnset: true } : {}
    try {
      return `${keyword.toUpperCase()} ${expand(rest, variables, { escape: this.build.escape, ...options }).text}`
    } catch {
      return `${keyword.toUpperCase()} ${rest}`
    }
  }

  private run(place: Place, token: Token | undefined, text: string, options: ExpansionOptions = {}) {
    const { env, args } = this.state
    const expansion = place.at(token, () => expand(text, env, { escape: this.build.escape, ...options }))
    lintUndefined(
      this.linter,
      place,
      token,
      [...expansion.unmatched].filter((name) => !args.has(name)),
      env,
    )
    return expansion
  }
}

export function shellOf({ config }: StageState): string[] {
  return config.Shell?.length ? config.Shell : ['/bin/sh', '-c']
}

/** Warns of the one before, which counts for nothing. */
export function once(context: EvaluationContext, name: string, place: Place): void {
  const before = context.seen.get(name)
  if (before) context.linter.warn('MultipleInstructionsDisallowed', before, `Only the last ${name} of a stage counts`)
  context.seen.set(name, place)
}
