/** `caisson compose ps`. */
import type { Project, ProjectContainer } from '../index.js'
import { type Subcommand, servicesIn } from './compose-command.js'
import { boolean, type Flags } from './flags.js'
import { harmlessJson } from './harmless.js'
import { table } from './table.js'

export const psCommand: Subcommand = {
  summary: 'List containers',
  usage: 'ps [FLAGS] [SERVICE...]',
  flags: [
    boolean('all', 'Those that have ended, too', 'a'),
    boolean('json', 'Print a line of JSON for each'),
    boolean('quiet', 'Print ids alone', 'q'),
  ],
  run: (project, flags, words) => ps(project, flags, servicesIn(project, words) ?? project.services),
}

async function ps(project: Project, flags: Flags, services: readonly string[]): Promise<number> {
  const all = (await project.ps())
    .filter(({ service }) => services.includes(service))
    .filter(({ state }) => flags.boolean('all') || state !== 'exited')
  if (flags.boolean('quiet')) for (const { id } of all) process.stdout.write(`${id}\n`)
  else if (flags.boolean('json')) for (const each of all) process.stdout.write(`${harmlessJson(each)}\n`)
  else
    process.stdout.write(
      table(
        ['NAME', 'IMAGE', 'SERVICE', 'STATUS', 'PORTS'],
        all.map((each) => [each.name, each.image, each.service, statusOf(each), portsOf(each)]),
      ),
    )
  return 0
}

function statusOf({ state, health, exitCode, restarting }: ProjectContainer): string {
  if (restarting) return 'restarting'
  if (state === 'exited') return `exited (${exitCode})`
  return health === 'none' ? state : `${state} (${health})`
}

function portsOf({ ports }: ProjectContainer): string {
  return ports
    .map(({ address, port, container, protocol }) => `${address}:${port}->${container}/${protocol}`)
    .join(', ')
}
