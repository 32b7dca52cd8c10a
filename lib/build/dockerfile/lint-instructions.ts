/** The checks that look at what is written, before anything is known about variables and images. */
import type { From, Instruction, Stage } from './instruction.js'
import type { Linter } from './lint.js'
import type { Place } from './place.js'
import { quote } from './text.js'

/** Names that FROM and COPY --from take for something else. */
const RESERVED = new Set(['context', 'scratch'])

export function lintLines(linter: Linter, places: Place[]): void {
  for (const place of places) {
    const { line } = place.node
    if (!line.emptyContinuation) continue
    const at = { line: line.endLine, column: 1 }
    linter.warn('NoEmptyContinuation', place, 'There is an empty line between continued ones', { start: at, end: at })
  }
}

/** One instruction, also above the first FROM. */
export function lintInstruction(linter: Linter, instruction: Instruction | From): void {
  const { place } = instruction
  if (instruction.name === 'MAINTAINER') linter.warn('MaintainerDeprecated', place, 'Use LABEL maintainer=... instead')
  if (instruction.name === 'ARG')
    describe(
      linter,
      place,
      'ARG',
      instruction.args.map(({ key }) => key),
    )
  if (instruction.name !== 'FROM') return
  const [, as, name] = place.node.args
  if (instruction.stage) describe(linter, place, 'FROM', [instruction.stage])
  if (!as || !name) return
  if (name.text !== name.text.toLowerCase())
    linter.warn(
      'StageNameCasing',
      place,
      `Write the name of the stage '${name.text}' in lower case`,
      place.spanOf(name),
    )
  const from = place.node.keyword.text
  const wanted = from === from.toLowerCase() ? 'as' : 'AS'
  if (isOneCase(from) && as.text !== wanted)
    linter.warn('FromAsCasing', place, `'${as.text}' does not match the case of '${from}'`, place.spanOf(as))
}

/** The whole file. */
export function lintStages(linter: Linter, stages: Stage[]): void {
  const names = new Set<string>()
  for (const { from } of stages) {
    if (from.stage === undefined) continue
    if (RESERVED.has(from.stage))
      linter.warn('ReservedStageName', from.place, `${quote(from.stage)} is a reserved name; choose another`)
    if (names.has(from.stage))
      linter.warn('DuplicateStageName', from.place, `There is a stage ${quote(from.stage)} already`)
    names.add(from.stage)
  }
  lintCasing(
    linter,
    stages.flatMap(({ from, instructions }) => [from.place, ...instructions.map(({ place }) => place)]),
  )
}

function lintCasing(linter: Linter, places: Place[]): void {
  const words = places.map(({ node }) => node.keyword.text)
  const lower = words.filter((word) => word === word.toLowerCase()).length
  const upper = words.filter((word) => word === word.toUpperCase()).length
  const wanted = lower > upper ? 'lower' : 'upper'
  for (const place of places) {
    const { keyword } = place.node
    const right = wanted === 'lower' ? keyword.text.toLowerCase() : keyword.text.toUpperCase()
    if (keyword.text !== right)
      linter.warn(
        'ConsistentInstructionCasing',
        place,
        `Write '${right}': most instructions here are in ${wanted} case`,
        place.spanOf(keyword),
      )
  }
}

function describe(linter: Linter, place: Place, instruction: string, names: string[]): void {
  const comment = place.node.line.comments.at(-1)
  if (comment === undefined || names.includes(comment.split(' ', 1)[0] as string)) return
  const name = names.length > 1 ? 'NAME' : names[0]
  linter.warn(
    'InvalidDefinitionDescription',
    place,
    `Begin the comment above ${instruction} with its name: # ${name} ...`,
  )
}

const isOneCase = (word: string) => word === word.toLowerCase() || word === word.toUpperCase()
