/** What commands that list things have in common: their flags, filters and forms of output. */
import { type Flag, type Flags, parseBoolean } from './flags.js'
import { harmless, harmlessJson } from './harmless.js'
import { table } from './table.js'
import { fillTemplate } from './template.js'
import { usageError } from './usage.js'

export const EXITS = 'Exits with 0, or with 1 when it failed.'

export const FILTER: Flag = {
  name: 'filter',
  short: 'f',
  kind: 'list',
  value: 'name=value',
  help: 'Only what fits; as docker',
}

export const FORMS: readonly Flag[] = [
  { name: 'format', kind: 'text', help: 'json, or a text with {{.Name}} and so on' },
  { name: 'json', kind: 'boolean', help: 'Print a line of JSON for each' },
  { name: 'quiet', short: 'q', kind: 'boolean', help: 'Print names or ids alone' },
]

export const FORCE: Flag = { name: 'force', short: 'f', kind: 'boolean', help: 'As without: nothing is asked' }

/** One thing of a list. */
export interface Row {
  /** What `--quiet` prints. */
  id: string
  /** By docker's names for templates. */
  fields: Record<string, string>
  json: object
}

/** `columns`: headings, and the fields below them. */
export function printList(flags: Flags, columns: ReadonlyArray<[heading: string, field: string]>, rows: Row[]): void {
  const format = flags.text('format')
  if (flags.boolean('quiet')) for (const { id } of rows) process.stdout.write(`${id}\n`)
  else if (flags.boolean('json') || format === 'json')
    for (const { json } of rows) process.stdout.write(`${harmlessJson(json)}\n`)
  else if (format !== undefined)
    for (const { fields } of rows) process.stdout.write(`${fillTemplate(format, plain(fields))}\n`)
  else {
    const cells = rows.map(({ fields }) => columns.map(([, field]) => fields[field] ?? ''))
    const headings = columns.map(([heading]) => heading)
    process.stdout.write(table(headings, cells))
  }
}

/** Labels are an image's, too: a terminal obeys nothing of them, but what the format itself says. */
const plain = (fields: Row['fields']) =>
  Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, harmless(value)]))

/**
 * `--filter name=x --filter label=a=b --filter label=c=d` as an object with `labels`. What there is no filter for is
 * refused where it is used. `booleans`: their values are true or false.
 */
export function filterOf(flags: Flags, booleans: readonly string[] = []): Record<string, unknown> {
  const filter: Record<string, unknown> = {}
  for (const text of flags.list('filter') ?? []) {
    const equals = text.indexOf('=')
    if (equals < 1) throw usageError(`--filter ${text}: it has no value`, 'Write --filter NAME=VALUE.')
    const [name, value] = [text.slice(0, equals), text.slice(equals + 1)]
    if (name === 'label') filter.labels = { ...(filter.labels as object), ...labelOf(value, '--filter label') }
    else filter[name] = booleans.includes(name) ? parseBoolean(value, `--filter ${name}`) : value
  }
  return filter
}

/** `key=value`; an empty value when there is none. */
export function labelOf(text: string, flag: string): Record<string, string> {
  const [key = '', ...value] = text.split('=')
  if (key === '') throw usageError(`${flag}: ${JSON.stringify(text)} has no name`, 'Write NAME=VALUE.')
  return { [key]: value.join('=') }
}

/** `--label a=b --label c=d` */
export function labelsOf(flags: Flags): Record<string, string> {
  return Object.assign({}, ...(flags.list('label') ?? []).map((text) => labelOf(text, '--label')))
}

/** As docker's lists have them. */
export function labelText(labels: Readonly<Record<string, string>>): string {
  return Object.entries(labels)
    .map(([key, value]) => `${key}=${value}`)
    .join(',')
}

/** Does it to each, and prints the names of those that it could be done to: one that it cannot be done to keeps it from no other. */
export async function forEachName(names: readonly string[], work: (name: string) => Promise<void>): Promise<number> {
  let failed = false
  for (const name of names)
    try {
      await work(name)
      process.stdout.write(`${name}\n`)
    } catch (error) {
      failed = true
      process.stderr.write(harmless(`caisson: ${(error as Error).message}\n`))
    }
  return failed ? 1 : 0
}
