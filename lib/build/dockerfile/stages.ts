/** The instructions of a file as stages, and what stands above the first. */
import type { Arg, Instruction, Stage } from './instruction.js'
import { readInstruction } from './instructions.js'
import type { Linter } from './lint.js'
import { lintInstruction, lintLines, lintStages } from './lint-instructions.js'
import type { ParsedFile } from './parser.js'
import { Place } from './place.js'
import { fault } from './source.js'

export interface Stages {
  /** Above the first FROM. */
  args: Arg[]
  stages: Stage[]
}

/** @throws CaissonError ERR_CAISSON_DOCKERFILE */
export function readStages({ source, instructions }: ParsedFile, linter: Linter): Stages {
  lintLines(
    linter,
    instructions.map((node) => new Place(source, node)),
  )
  const args: Arg[] = []
  const stages: Stage[] = []
  for (const node of instructions) {
    const instruction: Instruction | Stage['from'] = readInstruction(source, node)
    lintInstruction(linter, instruction)
    const stage = stages.at(-1)
    if (instruction.name === 'FROM') stages.push({ from: instruction, instructions: [] })
    else if (stage) stage.instructions.push(instruction)
    else if (instruction.name === 'ARG') args.push(instruction)
    else throw instruction.place.fault(undefined, 'no build stage in current context', 'Begin with FROM.')
  }
  if (stages.length === 0) {
    const at = { line: 1, column: 1 }
    throw source.locate(fault('dockerfile contains no stages to build', 'Add FROM.'), { start: at, end: at })
  }
  lintStages(linter, stages)
  return { args, stages }
}
