/** `caisson ps`: containers of all processes of this user. */
import { Container, type ContainerInfo } from '../index.js'
import { ago } from '../util/ago.js'
import type { Command } from './command.js'
import { harmless } from './harmless.js'
import { EXITS, FILTER, FORMS, filterOf, labelText, printList, type Row } from './listing.js'
import { noWords } from './subcommands.js'
import { usageError } from './usage.js'
import { parseNumber } from './values.js'

const COMMAND_COLUMN = 20
/** docker's names of our states. */
const STATES: Record<string, ContainerInfo['state']> = {
  created: 'created',
  running: 'running',
  paused: 'paused',
  exited: 'exited',
}

export const psCommand: Command = {
  summary: 'List containers',
  usage: 'ps [FLAGS]',
  description:
    'Lists the containers that run, whichever process has them; what run() and caisson run do is none of them.',
  flags: [
    { name: 'all', short: 'a', kind: 'boolean', help: 'Those that do not run, too' },
    FILTER,
    ...FORMS,
    { name: 'last', short: 'n', kind: 'text', value: 'number', help: 'The youngest ones, whether they run or not' },
    { name: 'latest', short: 'l', kind: 'boolean', help: 'The youngest one' },
    { name: 'no-trunc', kind: 'boolean', help: 'Print whole ids and commands' },
  ],
  exits: EXITS,

  async run(flags, rest) {
    noWords(rest, 'ps')
    const last = flags.boolean('latest') ? '1' : flags.text('last')
    const { status, ...filter } = filterOf(flags)
    if (status !== undefined && !Object.hasOwn(STATES, String(status)))
      throw usageError(`ps: there is no status ${String(status)}`, `There are: ${Object.keys(STATES).join(', ')}.`)
    const all = flags.boolean('all') || last !== undefined || status !== undefined
    const state = status === undefined ? undefined : STATES[String(status)]
    const found = await Container.list({ ...filter, all, state })
    const count = last === undefined ? found.length : parseNumber(last, '--last', true)
    const whole = flags.boolean('no-trunc') ?? false
    printList(
      flags,
      [
        ['CONTAINER ID', 'ID'],
        ['IMAGE', 'Image'],
        ['COMMAND', 'Command'],
        ['CREATED', 'RunningFor'],
        ['STATUS', 'Status'],
        ['PORTS', 'Ports'],
        ['NAMES', 'Names'],
      ],
      found.slice(0, count).map((info) => rowOf(info, whole)),
    )
    return 0
  },
}

function rowOf(info: ContainerInfo, whole: boolean): Row {
  const id = whole ? info.id : info.id.slice(0, 12)
  const fields = {
    ID: id,
    // One without a name has its digest.
    Image: whole ? info.image : info.image.replace(/^sha256:([0-9a-f]{12})[0-9a-f]+$/, '$1'),
    Command: commandOf(info.command, whole),
    RunningFor: `${ago(info.created)} ago`,
    Status: statusOf(info),
    Ports: portsOf(info.ports),
    Names: info.name,
    State: info.state,
    CreatedAt: info.created.toISOString(),
    Labels: labelText(info.labels),
  }
  return { id, fields, json: fields }
}

/** An image may have made it: nothing of it may act on the terminal. */
function commandOf(words: readonly string[], whole: boolean): string {
  const line = harmless(words.join(' ').replace(/\s+/g, ' '))
  return `"${whole || line.length <= COMMAND_COLUMN ? line : `${line.slice(0, COMMAND_COLUMN - 1)}…`}"`
}

function statusOf({ state, exitCode, startedAt, finishedAt }: ContainerInfo): string {
  if (state === 'exited') return `Exited (${exitCode ?? '?'})${finishedAt ? ` ${ago(finishedAt)} ago` : ''}`
  if ((state === 'running' || state === 'paused') && startedAt)
    return `Up ${ago(startedAt)}${state === 'paused' ? ' (Paused)' : ''}`
  return `${state.slice(0, 1).toUpperCase()}${state.slice(1)}`
}

function portsOf(ports: ContainerInfo['ports']): string {
  const bracketed = (address: string) => (address.includes(':') ? `[${address}]` : address)
  return ports
    .flatMap(({ addresses, port, container, protocol }) =>
      addresses.map((address) => `${bracketed(address)}:${port}->${container}/${protocol}`),
    )
    .join(', ')
}
