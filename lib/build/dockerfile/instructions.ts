/** From instructions taken apart to typed ones, checked as far as they can be without variables. */

import { didYouMean, nearest } from '../../util/suggest.js'
import { readAdd, readCopy } from './copy-instruction.js'
import { readFlags } from './flags.js'
import { readHealthcheck } from './healthcheck.js'
import type { Arg, CommandLine, From, Instruction, Onbuild, Pairs, Run, Several, Single } from './instruction.js'
import { INSTRUCTION_NAMES, type ParsedInstruction } from './parser.js'
import { Place } from './place.js'
import { fault, type SourceFile, type Span } from './source.js'
import { quote, trimSpace } from './text.js'
import type { Token } from './words.js'

type Reader = (place: Place) => Instruction | From

const READERS: Record<string, Reader> = {
  ADD: readAdd,
  ARG: readArg,
  CMD: (place) => ({ name: 'CMD', place, ...readFlags(place, {}), ...commandLine(place.node) }),
  COPY: readCopy,
  ENTRYPOINT: (place) => ({ name: 'ENTRYPOINT', place, ...readFlags(place, {}), ...commandLine(place.node) }),
  ENV: (place) => readPairs(place, 'ENV'),
  EXPOSE: readExpose,
  FROM: readFrom,
  HEALTHCHECK: readHealthcheck,
  LABEL: (place) => readPairs(place, 'LABEL'),
  MAINTAINER: (place) => readSingle(place, 'MAINTAINER'),
  ONBUILD: readOnbuild,
  RUN: readRun,
  SHELL: readShell,
  STOPSIGNAL: (place) => readSingle(place, 'STOPSIGNAL'),
  USER: (place) => readSingle(place, 'USER'),
  VOLUME: readVolume,
  WORKDIR: (place) => readSingle(place, 'WORKDIR'),
}

/**
 * @param at where errors are said to be, when the instruction does not stand in the file.
 * @throws CaissonError ERR_CAISSON_DOCKERFILE with the place.
 */
export function readInstruction(source: SourceFile, node: ParsedInstruction, at?: Span): Instruction | From {
  const place = new Place(source, node, at)
  const reader = READERS[node.keyword.text.toUpperCase()]
  if (!reader) {
    const word = node.keyword.text
    const meant = nearest(word, INSTRUCTION_NAMES, true)
    throw place.fault(
      node.keyword,
      `unknown instruction: ${word}${didYouMean(meant)}`,
      meant ? `Write ${meant}.` : `There are ${INSTRUCTION_NAMES.join(', ')}.`,
    )
  }
  return place.at(undefined, () => reader(place))
}

const STAGE_NAME = /^[a-z][a-z0-9\-_.]*$/

function readFrom(place: Place): From {
  const { args } = place.node
  const [image, as, name] = args
  const stage = name?.text.toLowerCase()
  if (!image || (args.length !== 1 && !(args.length === 3 && as?.text.toLowerCase() === 'as')))
    throw fault('FROM requires either one or three arguments', 'Write FROM image, or FROM image AS name.')
  if (name && stage !== undefined && !STAGE_NAME.test(stage))
    throw place.fault(
      name,
      `invalid name for build stage: ${quote(name.text)}, name can't start with a number or contain symbols`,
      'Begin it with a letter; go on with letters, digits, -, _ and dots.',
    )
  return { name: 'FROM', place, image, stage, ...readFlags(place, { platform: 'text' }) }
}

const NETWORKS = ['default', 'none', 'host'] as const
const SECURITIES = ['sandbox', 'insecure'] as const

function readRun(place: Place): Run {
  const { mount, network, security, device } = readFlags(place, {
    mount: 'list',
    network: 'text',
    security: 'text',
    device: 'list',
  })
  for (const each of mount) refuseVariableFrom(place, each)
  return {
    name: 'RUN',
    place,
    ...commandLine(place.node),
    mounts: mount,
    network: oneOf(place, network, NETWORKS, (value) => `invalid network mode ${quote(value)}`),
    security: oneOf(place, security, SECURITIES, (value) => `security ${quote(value)} is not valid`),
    devices: device,
    heredocs: place.node.heredocs,
  }
}

function oneOf<T extends string>(
  place: Place,
  flag: Token | undefined,
  values: readonly [T, ...T[]],
  message: (value: string) => string,
): T {
  if (!flag) return values[0]
  const found = values.find((value) => value === flag.text)
  if (!found) throw place.fault(flag, message(flag.text), `There are ${values.join(', ')}.`)
  return found
}

/** Which stages a stage needs must be known before any variable is. */
function refuseVariableFrom(place: Place, mount: Token): void {
  const from = mount.text.split(',').find((field) => /^from=/i.test(field))
  const dollar = from?.indexOf('$') ?? -1
  if (from && dollar >= 0 && dollar !== from.length - 1)
    throw place.fault(
      mount,
      "'from' doesn't support variable expansion, define alias stage instead",
      'Write FROM $NAME AS name, and from=name.',
    )
}

function commandLine({ args, json }: ParsedInstruction): CommandLine {
  return { command: args, shellForm: !json }
}

function readPairs<Name extends 'ENV' | 'LABEL'>(place: Place, name: Name): Pairs<Name> {
  readFlags(place, {})
  const { pairs } = place.node
  if (pairs.length === 0) throw fault(`${name} requires at least one argument`, `Write ${name} name=value.`)
  const blank = pairs.find(({ key }) => key.text === '')
  if (blank) throw place.fault(blank.value, `${name} names can not be blank`, `Write ${name} name=value.`)
  return { name, place, pairs }
}

function readArg(place: Place): Arg {
  const { args, flags } = place.node
  if (args.length === 0 && flags.length === 0)
    throw fault('ARG requires at least one argument', 'Write ARG name, or ARG name=default.')
  readFlags(place, {})
  return {
    name: 'ARG',
    place,
    args: args.map((arg) => {
      const equals = arg.text.indexOf('=')
      if (equals < 0) return { key: arg.text }
      if (equals === 0) throw place.fault(arg, 'ARG names can not be blank', 'Write ARG name=default.')
      const value = {
        text: arg.text.slice(equals + 1),
        offset: arg.offset + equals + 1,
        length: arg.length - equals - 1,
      }
      return { key: arg.text.slice(0, equals), value }
    }),
  }
}

function readSingle<Name extends Single<'USER'>['name'] | 'MAINTAINER' | 'STOPSIGNAL' | 'WORKDIR'>(
  place: Place,
  name: Name,
): Single<Name> {
  const [value] = place.node.args
  if (!value) throw fault(`${name} requires exactly one argument`, `Write ${name} and its argument.`)
  readFlags(place, {})
  return { name, place, value }
}

function readExpose(place: Place): Several<'EXPOSE'> {
  const { args } = place.node
  if (args.length === 0)
    throw fault('EXPOSE requires at least one argument', 'Write EXPOSE and ports, as 80 or 53/udp.')
  readFlags(place, {})
  return { name: 'EXPOSE', place, values: args.toSorted((a, b) => (a.text < b.text ? -1 : a.text > b.text ? 1 : 0)) }
}

function readVolume(place: Place): Several<'VOLUME'> {
  const { args } = place.node
  if (args.length === 0) throw fault('VOLUME requires at least one argument', 'Write VOLUME and paths.')
  readFlags(place, {})
  const values = args.map((arg) => {
    const text = trimSpace(arg.text)
    if (text === '') throw place.fault(arg, 'VOLUME specified can not be an empty string', 'Name a path.')
    return { ...arg, text }
  })
  return { name: 'VOLUME', place, values }
}

function readShell(place: Place): Several<'SHELL'> {
  const { args, json } = place.node
  readFlags(place, {})
  if (args.length === 0) throw fault('SHELL requires at least one argument', 'Write SHELL ["/bin/sh", "-c"].')
  if (!json) throw fault('SHELL requires the arguments to be in JSON form', 'Write SHELL ["/bin/sh", "-c"].')
  return { name: 'SHELL', place, values: args }
}

function readOnbuild(place: Place): Onbuild {
  const { trigger, line } = place.node
  if (!trigger) throw fault('ONBUILD requires at least one argument', 'Write ONBUILD and an instruction.')
  readFlags(place, {})
  const name = trigger.keyword.text.toUpperCase()
  if (name === 'ONBUILD')
    throw place.fault(trigger.keyword, "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed", 'Write it once.')
  if (name === 'MAINTAINER' || name === 'FROM')
    throw place.fault(trigger.keyword, `${name} isn't allowed as an ONBUILD trigger`, `Leave out the ${name}.`)
  const contents = trigger.heredocs.map((heredoc) => `\n${heredoc.content}${heredoc.name}`)
  return { name: 'ONBUILD', place, expression: line.text.slice(trigger.keyword.offset) + contents.join('') }
}
