/** `caisson compose config`: what a project comes to. */
import { writeFile } from 'node:fs/promises'
import { stringify } from 'yaml'
import type { ProjectConfig } from '../index.js'
import { type Subcommand, servicesIn } from './compose-command.js'
import { boolean, text } from './flags.js'
import { harmless, harmlessJson, quoted } from './harmless.js'
import { usageError } from './usage.js'

/** Of which a line each can be printed instead. */
const LISTS = ['services', 'images', 'volumes', 'networks', 'profiles'] as const

export const configCommand: Subcommand = {
  summary: 'Check the file, and print it with variables, merging and short forms resolved',
  usage: 'config [FLAGS] [SERVICE...]',
  flags: [
    text('format', 'yaml (default) or json'),
    ...LISTS.map((name) => boolean(name, `Print the names of ${name} alone`)),
    text('output', 'Write to a file', 'file', 'o'),
    boolean('quiet', 'Check it, and print nothing', 'q'),
  ],
  async run(project, flags, words) {
    const format = flags.text('format') ?? 'yaml'
    if (format !== 'yaml' && format !== 'json')
      throw usageError(`--format: ${JSON.stringify(format)} is not known`, 'Write yaml or json.')
    for (const warning of project.warnings) process.stderr.write(harmless(`caisson: ${warning}\n`))
    const config = project.config({ services: servicesIn(project, words) })
    if (flags.boolean('quiet')) return 0
    const list = LISTS.find((name) => flags.boolean(name))
    const printed = list
      ? namesIn(config, list)
          .map((name) => `${harmless(name)}\n`)
          .join('')
      : format === 'json'
        ? `${harmlessJson(config, 2)}\n`
        : // Other programs read an older version of the language: what means something else there is put into quotes.
          quoted(stringify(config, { compat: 'yaml-1.1', lineWidth: 0, aliasDuplicateObjects: false }))
    const output = flags.text('output')
    if (output === undefined) process.stdout.write(printed)
    else await writeFile(output, printed)
    return 0
  },
}

function namesIn(config: ProjectConfig, what: (typeof LISTS)[number]): string[] {
  const services = Object.entries(config.services)
  if (what === 'images') return [...new Set(services.map(([name, { image }]) => image ?? `${config.name}-${name}`))]
  if (what === 'profiles') return [...new Set(services.flatMap(([, { profiles = [] }]) => profiles))]
  return Object.keys(config[what] ?? {})
}
