/**
 * Carries the instructions of a stage out on paper: variables are filled in, the configuration and the history of the
 * image come out, and steps for what has to be done to its files.
 */

import { parseOwner } from './chmod.js'
import { evaluateExpose, evaluateHealthcheck } from './evaluate-config.js'
import { evaluateCopy } from './evaluate-copy.js'
import { evaluateRun } from './evaluate-run.js'
import { type EvaluationContext, once, shellOf } from './evaluation.js'
import type { Arg, CommandLine, Instruction, Pairs, Single } from './instruction.js'
import { lintSecretName } from './lint-variables.js'
import { isSignal } from './signals.js'
import { absolute, setOwn } from './stage-state.js'
import { listed, quotedList } from './text.js'

/** @throws CaissonError ERR_CAISSON_DOCKERFILE, placed at the instruction. */
export function evaluate(context: EvaluationContext, instruction: Instruction): void {
  const { place } = instruction
  place.at(undefined, () => evaluateOne(context, instruction))
}

function evaluateOne(context: EvaluationContext, instruction: Instruction): void {
  const { state } = context
  const { config } = state
  const { place } = instruction
  switch (instruction.name) {
    case 'ENV':
      evaluatePairs(context, instruction)
      return
    case 'LABEL':
      evaluatePairs(context, instruction)
      return
    case 'ARG':
      evaluateArg(context, instruction)
      return
    case 'RUN':
      evaluateRun(context, instruction)
      return
    case 'COPY':
    case 'ADD':
      evaluateCopy(context, instruction)
      return
    case 'WORKDIR':
      evaluateWorkdir(context, instruction)
      return
    case 'EXPOSE':
      evaluateExpose(context, instruction)
      return
    case 'HEALTHCHECK':
      evaluateHealthcheck(context, instruction)
      return
    case 'CMD': {
      once(context, instruction.name, place)
      config.Cmd = shellCommand(context, instruction, instruction.name)
      state.commit(`CMD ${quotedList(config.Cmd)}`)
      return
    }
    case 'ENTRYPOINT': {
      once(context, instruction.name, place)
      const entrypoint = shellCommand(context, instruction, instruction.name)
      config.Entrypoint = entrypoint.length > 0 ? entrypoint : undefined
      // The command of the base image belongs to the entrypoint of the base image.
      if (!context.seen.has('CMD')) config.Cmd = undefined
      state.commit(`ENTRYPOINT ${quotedList(entrypoint)}`)
      return
    }
    case 'MAINTAINER':
      state.author = instruction.value.text
      state.commit(`MAINTAINER ${state.author}`)
      return
    case 'USER':
      config.User = context.expand(place, instruction.value)
      state.commit(`USER ${config.User}`)
      return
    case 'STOPSIGNAL': {
      const signal = context.expand(place, instruction.value)
      if (!isSignal(signal))
        throw place.fault(instruction.value, `invalid signal: ${signal}`, 'Write SIGTERM or a number.')
      config.StopSignal = signal
      state.commit(`STOPSIGNAL ${signal}`)
      return
    }
    case 'SHELL':
      config.Shell = instruction.values.map(({ text }) => text)
      state.commit(`SHELL ${listed(config.Shell)}`)
      return
    case 'VOLUME': {
      const volumes = instruction.values.map((value) => {
        const path = context.expand(place, value)
        if (path === '') throw place.fault(value, 'VOLUME specified can not be an empty string', 'Name a path.')
        return path
      })
      config.Volumes ??= {}
      for (const path of volumes) setOwn(config.Volumes, path, {})
      state.commit(`VOLUME ${listed(volumes)}`)
      return
    }
    case 'ONBUILD':
      config.OnBuild ??= []
      config.OnBuild.push(instruction.expression)
      return
  }
}

function evaluatePairs(context: EvaluationContext, { name, place, pairs }: Pairs<'ENV'> | Pairs<'LABEL'>): void {
  const { state, linter } = context
  // All values see the variables from before.
  const expanded = pairs.map(({ key, value, assigned }) => {
    if (!assigned)
      linter.warn('LegacyKeyValueFormat', place, `Write ${name} ${key.text}=VALUE instead of ${name} ${key.text} VALUE`)
    return [context.expand(place, key), context.expand(place, value)] as const
  })
  for (const [key, value] of expanded) {
    if (name === 'LABEL') {
      state.config.Labels ??= {}
      setOwn(state.config.Labels, key, value)
    } else {
      lintSecretName(linter, place, name, key)
      state.setEnv(key, value)
    }
  }
  state.commit(`${name}${expanded.map(([key, value]) => ` ${key}=${value}`).join('')}`)
}

function evaluateArg(context: EvaluationContext, { place, args }: Arg): void {
  const { state, linter, globals } = context
  const texts: string[] = []
  for (const { key, value } of args) {
    lintSecretName(linter, place, 'ARG', key)
    // What the caller says, then what is written here, then what was declared above the first FROM.
    const result = context.buildArgs.get(key) ?? (value ? context.expand(place, value) : globals.get(key))
    if (result !== undefined) state.env.set(key, result)
    state.args.set(key, result ?? '')
    texts.push(result === undefined ? key : `${key}=${result}`)
  }
  state.commit(`ARG ${texts.join(' ')}`)
}

function evaluateWorkdir(context: EvaluationContext, { place, value }: Single<'WORKDIR'>): void {
  const { state, linter } = context
  const path = context.expand(place, value)
  if (!state.workdirSet && !path.startsWith('/'))
    linter.warn(
      'WorkdirRelativePath',
      place,
      `${JSON.stringify(path)} depends on the base image: begin it with a slash`,
    )
  state.workdirSet = true
  const workdir = absolute(path, state.workdir)
  state.config.WorkingDir = workdir
  const withLayer = workdir !== '/'
  const history = state.commit(`WORKDIR ${workdir}`, withLayer)
  if (!withLayer) return
  const owner = state.user === '' ? {} : { owner: parseOwner(state.user) }
  context.steps.push({ kind: 'mkdir', path: workdir, ...owner, span: place.span, title: context.title(place), history })
}

/** The command as it is executed: in the shell form, by the shell. */
function shellCommand(
  context: EvaluationContext,
  line: CommandLine & { place: Single<'USER'>['place'] },
  name: string,
): string[] {
  const words = line.command.map(({ text }) => text)
  if (!line.shellForm) return words
  const { Shell } = context.state.config
  if (!Shell?.length)
    context.linter.warn('JSONArgsRecommended', line.place, `Write ${name} as a JSON array, so that it gets signals`)
  return [...shellOf(context.state), words.join(' ')]
}
