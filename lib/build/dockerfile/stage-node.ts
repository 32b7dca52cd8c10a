/** A stage of the file among the others: what it begins with, and which others it takes from. */
import type { Environment } from './environment.js'
import type { Instruction, Stage } from './instruction.js'
import { readInstruction } from './instructions.js'
import type { Escape } from './lines.js'
import { parseDockerfile } from './parser.js'
import type { Place } from './place.js'
import type { BaseImage, Source } from './plan-types.js'
import type { Platform } from './platform.js'
import { splitFields } from './run-mount.js'
import { expand, NO_VARIABLES } from './shell.js'
import { fault } from './source.js'
import type { StageState } from './stage-state.js'
import { quote } from './text.js'

export class StageNode {
  readonly index: number
  readonly stage: Stage
  readonly base: Source
  /** As FROM --platform says. */
  readonly platform?: Platform
  /** The caller's context of the same name stands for the whole stage. */
  readonly replaced: boolean
  /** Instructions that a base left for its heirs. */
  triggers?: Instruction[]
  /** The configuration of the base; null when it has none. */
  image?: BaseImage | null
  /** How it ended, once it was evaluated. */
  state?: StageState

  constructor(index: number, stage: Stage, base: Source, platform: Platform | undefined, replaced: boolean) {
    this.index = index
    this.stage = stage
    this.base = base
    this.platform = platform
    this.replaced = replaced
  }

  get name(): string {
    return this.stage.from.stage ?? `stage-${this.index}`
  }

  get place(): Place {
    return this.stage.from.place
  }

  get instructions(): Instruction[] {
    return this.replaced ? [] : [...(this.triggers ?? []), ...this.stage.instructions]
  }

  /** Instructions that stages FROM this one begin with. */
  get expressions(): string[] {
    return this.instructions.flatMap((each) => (each.name === 'ONBUILD' ? [each.expression] : []))
  }

  /**
   * Takes over what the base left. Errors in it are placed at the FROM.
   * @throws CaissonError ERR_CAISSON_DOCKERFILE
   */
  inherit(expressions: readonly string[]): void {
    const { source, span } = this.place
    this.triggers = expressions.map((expression) =>
      source.at(span, () => {
        const { instructions } = parseDockerfile(expression, 'ONBUILD')
        const [node, ...others] = instructions
        if (!node || others.length > 0)
          throw fault('onbuild trigger should be a single expression', 'The base image is wrong: use another.')
        const instruction = readInstruction(source, node, span)
        if (instruction.name === 'FROM')
          throw fault("FROM isn't allowed as an ONBUILD trigger", 'The base image is wrong: use another.')
        return instruction
      }),
    )
  }
}

/** Names that an instruction takes files from: stages, images or contexts. */
export function namesTaken(instruction: Instruction): string[] {
  if (instruction.name === 'COPY' && instruction.from) {
    const { text } = instruction.from
    instruction.place.at(instruction.from, () => {
      if (expand(text, NO_VARIABLES).text !== text)
        throw fault(
          'variable expansion is not supported for --from, define a new stage with FROM using ARG from global scope as a workaround',
          'Write FROM $NAME AS name, and --from=name.',
        )
    })
    return [text]
  }
  return instruction.name === 'RUN' ? instruction.mounts.flatMap(({ text }) => mountSource(text)) : []
}

function mountSource(text: string): string[] {
  try {
    const field = splitFields(text).findLast((each) => /^from=./i.test(each))
    return field ? [field.slice('from='.length)] : []
  } catch {
    // The evaluation says what is wrong with it.
    return []
  }
}

/** The text of a FROM with the global arguments filled in. */
export function expandFrom(place: Place, text: string, globals: Environment, escaper: Escape) {
  return place.at(undefined, () => expand(text, globals, { escape: escaper }))
}

/** A number, when a stage is named by its index. */
export function stageIndex(name: string): number | undefined {
  return /^[-+]?\d+$/.test(name) ? Number(name) : undefined
}

/**
 * Stages that take from each other in a circle.
 * @param needs for each stage, the indices of those that it takes from.
 * @throws CaissonError ERR_CAISSON_DOCKERFILE
 */
export function refuseCircles(nodes: readonly StageNode[], needs: readonly number[][]): void {
  const done = new Uint8Array(nodes.length)
  const IN_PATH = 1
  for (const { index: first } of nodes) {
    const path: Array<{ index: number; next: number }> = done[first] ? [] : [{ index: first, next: 0 }]
    done[first] ||= IN_PATH
    while (path.length > 0) {
      const top = path.at(-1) as { index: number; next: number }
      const need = needs[top.index]?.[top.next++]
      if (need === undefined) {
        done[top.index] = 2
        path.pop()
      } else if (done[need] === IN_PATH) throw circle(nodes[need] as StageNode, nodes[top.index] as StageNode)
      else if (done[need] === 0) {
        done[need] = IN_PATH
        path.push({ index: need, next: 0 })
      }
    }
  }
}

function circle(stage: StageNode, last: StageNode): Error {
  const hint =
    stage === last
      ? `${quote(stage.name)} takes files from itself.`
      : `${quote(last.name)} takes files from ${quote(stage.name)}, which needs ${quote(last.name)} itself.`
  return stage.place.fault(undefined, `circular dependency detected on stage: ${stage.name}`, hint)
}
