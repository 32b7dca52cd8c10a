/** Compose files from disk, or an object: found, read, and made one. */
import { readdir } from 'node:fs/promises'
import { homedir } from 'node:os'
import path from 'node:path'
import { parseDotenv, parseRawEnv } from '../compose/dotenv.js'
import {
  type Fragment,
  mergeFragments,
  nameIn,
  type Opened,
  type Opening,
  readFile as readFragment,
} from '../compose/file.js'
import type { EnvFileModel } from '../compose/nested-fields.js'
import { composeError, type Place } from '../compose/node.js'
import { type ProjectModel, projectOf } from '../compose/project.js'
import type { Context } from '../compose/read.js'
import { MOST_PORTS } from '../compose/short-forms.js'
import { fromObject, parseYaml } from '../compose/yaml.js'
import { CaissonError, invalidArgument } from '../errors.js'
import { type Abortable, checkAborted } from '../util/abort.js'
import { checkNames, type Names } from '../util/option-names.js'
import { type Environment, variableIn } from '../util/variable.js'
import { isNoText, readGivenText, readText } from './read-text.js'

export interface ComposeOptions extends Abortable {
  /** Default: COMPOSE_PROJECT_NAME, `name` of the file, or the name of its directory. */
  projectName?: string
  /** Default: COMPOSE_PROFILES, separated by commas. `*`: all. */
  profiles?: readonly string[]
  /** Variables for the file, before those of `.env` beside it. Default: those of this process. */
  env?: Record<string, string | undefined>
  /** Files of variables instead of `.env`. */
  envFiles?: readonly string[]
}

export interface Loaded {
  model: ProjectModel
  profiles: readonly string[]
  warnings: readonly string[]
  lookup(name: string): string | undefined
}

const NAMES = ['compose.yaml', 'compose.yml', 'docker-compose.yaml', 'docker-compose.yml']
const OVERRIDES = NAMES.map((name) => name.replace(/\.ya?ml$/, '.override$&'))

const OPTIONS: Names<ComposeOptions> = { projectName: true, profiles: true, env: true, envFiles: true, signal: true }

const isTexts = (value: unknown) => Array.isArray(value) && value.every((each) => typeof each === 'string')

/** @param source a file, a directory with one, several that go over each other, or what a file would say. */
export async function loadProject(
  source: string | readonly string[] | object,
  options: ComposeOptions,
): Promise<Loaded> {
  checkNames(options, OPTIONS, '')
  checkAborted(options.signal, 'compose')
  for (const name of ['profiles', 'envFiles'] as const)
    if (options[name] !== undefined && !isTexts(options[name]))
      throw invalidArgument(name, options[name], 'an array of strings')
  if (options.env !== undefined && (typeof options.env !== 'object' || options.env === null))
    throw invalidArgument('env', options.env, 'an object of variables')
  const { files, read = givenTextOf } = await filesOf(source)
  const first = files?.[0]
  const directory = first === undefined ? process.cwd() : path.dirname(first)
  const given = options.env ?? process.env
  const beside = await variablesBeside(directory, options.envFiles, given, givenTextOf)
  const own = new Map<string, string>()
  const lookup = (name: string) => variableIn(given, name) ?? beside.get(name) ?? own.get(name)
  const warnings = new Set<string>()
  const ports = { left: MOST_PORTS }
  const context = (at: string): Context => ({
    lookup,
    warn: (message) => void warnings.add(message),
    directory: at,
    home: homedir(),
    ports,
  })
  // Relative paths of all files are below the first one; those of a file that is extended below its own directory.
  const opened: Opened[] = []
  if (files)
    for (const file of files)
      opened.push({ root: parseYaml(await read(file), named(file)), context: context(directory), file })
  else opened.push({ root: fromObject(source), context: context(directory), file: '' })
  const name = projectName(options, lookup, opened, directory)
  own.set('COMPOSE_PROJECT_NAME', name)
  const opening = openingFrom(given)
  let whole: Fragment | undefined
  for (const each of opened) {
    const fragment = await readFragment(each, opening)
    whole = whole ? mergeFragments(whole, fragment) : fragment
  }
  const model = projectOf(whole as Fragment, { name, directory, files: files ?? [] }, (opened[0] as Opened).root)
  const profiles = options.profiles ?? (lookup('COMPOSE_PROFILES') ?? '').split(',').filter((each) => each !== '')
  return { model, profiles, warnings: [...warnings], lookup }
}

/** Characters of all files that files of a project name; one that is named again counts again. */
const NAMED_MOST = 32 * 1024 * 1024
/** What each one counts besides its text. */
const NAMED_LEAST = 16 * 1024

/** How files that others name are opened; their paths are absolute. `given`: variables that come before all others. */
function openingFrom(given: Environment): Opening {
  let left = NAMED_MOST
  // Files that each include the next one twice are read as often as 2 to the power of their number.
  const counted = (text: string, place: Place) => {
    left -= text.length + NAMED_LEAST
    if (left >= 0) return text
    throw composeError(place, 'too many files name others', `Together at most ${NAMED_MOST} characters are read.`)
  }
  const read = async (file: string, place: Place, context: Context): Promise<Opened> => ({
    root: parseYaml(counted(await textOf(file, place), place), named(file)),
    context,
    file,
  })
  return {
    open: (file, place, context) => read(file, place, { ...context, directory: path.dirname(file) }),
    async include({ files, directory = path.dirname(files[0] as string), envFiles, place }, outer) {
      const beside = await variablesBeside(directory, envFiles, given)
      const context = { ...outer, directory, lookup: (name: string) => outer.lookup(name) ?? beside.get(name) }
      return Promise.all(files.map((file) => read(file, place, context)))
    },
  }
}

/** As somebody in this directory would write it. */
function named(file: string): string {
  const relative = path.relative(process.cwd(), file)
  return relative.startsWith('..') ? file : relative
}

/** Absolute, and how those are read that were found; no files: it is an object. */
async function filesOf(source: unknown): Promise<{ files?: string[]; read?: Read }> {
  if (Array.isArray(source)) {
    if (source.length > 0 && source.every((each) => typeof each === 'string'))
      return { files: source.map((each) => path.resolve(each)) }
    throw invalidArgument('file', source, 'a path, a list of paths or an object')
  }
  if (typeof source === 'object' && source !== null) return {}
  if (typeof source !== 'string' || source === '')
    throw invalidArgument('file', source, 'a path, a list of paths or an object')
  const absolute = path.resolve(source)
  const inside = await readdir(absolute).catch(() => undefined)
  if (!inside) return { files: [absolute] }
  const found = NAMES.find((name) => inside.includes(name))
  if (found === undefined)
    throw new CaissonError('ERR_CAISSON_COMPOSE', `there is no compose file in ${absolute}`, {
      stage: 'compose',
      hint: `Write ${NAMES[0]}, or name another file.`,
    })
  const override = OVERRIDES.find((name) => inside.includes(name))
  const names = [found, ...(override === undefined ? [] : [override])]
  return { files: names.map((name) => path.join(absolute, name)), read: textOf }
}

type Read = (file: string) => Promise<string>

/** Of what the caller names itself. */
const givenTextOf = (file: string) => textOf(file, undefined, readGivenText)

async function textOf(file: string, place?: Place, read: Read = readText): Promise<string> {
  try {
    return await read(file)
  } catch (error) {
    const message = `cannot read ${file}: ${(error as Error).message}`
    const hint = 'Give a file that is there and can be read.'
    if (place) throw composeError(place, message, hint)
    throw new CaissonError('ERR_CAISSON_COMPOSE', message, { stage: 'compose', hint, cause: error as Error })
  }
}

async function variablesBeside(
  directory: string,
  files: readonly string[] | undefined,
  given: Environment,
  read: Read = textOf,
): Promise<Map<string, string | undefined>> {
  const found = new Map<string, string | undefined>()
  const lookup = (name: string) => variableIn(given, name) ?? found.get(name)
  if (files === undefined) {
    const file = path.join(directory, '.env')
    const text = await textOf(file).catch((error: CaissonError) => {
      if (isNoText(error.cause)) throw error
    })
    return text === undefined ? found : parseDotenv(text, named(file), lookup)
  }
  for (const file of files)
    for (const [name, value] of parseDotenv(await read(path.resolve(file)), file, lookup)) found.set(name, value)
  return found
}

/** Letters, digits, `-` and `_`, as in names of containers and networks. */
function projectName(
  options: ComposeOptions,
  lookup: Loaded['lookup'],
  opened: readonly Opened[],
  directory: string,
): string {
  const asked = options.projectName ?? (lookup('COMPOSE_PROJECT_NAME') || undefined) ?? written(opened)
  if (asked !== undefined) {
    if (typeof asked === 'string' && /^[a-z0-9][a-z0-9_-]{0,62}$/.test(asked)) return asked
    throw invalidArgument(
      'projectName',
      asked,
      'at most 63 small letters, digits, "-" and "_", beginning with a letter or digit',
    )
  }
  const name = path
    .basename(directory)
    .toLowerCase()
    .replace(/[^a-z0-9_-]/g, '')
    .replace(/^[_-]+/, '')
    .slice(0, 63)
  if (name !== '') return name
  throw invalidArgument('projectName', undefined, 'given, as the directory has no name that could be used')
}

/** That of the last file. */
function written(opened: readonly Opened[]): string | undefined {
  return opened.map(({ root, context }) => nameIn(root, context)).findLast((name) => name !== undefined)
}

/** Variables of files that a service names; the later ones count. */
export async function environmentOf(files: readonly EnvFileModel[], lookup: Loaded['lookup']) {
  const found: Record<string, string | undefined> = Object.create(null)
  for (const { path: file, required, raw, place } of files) {
    const text = await readText(file).catch((error) => {
      const hint = isNoText(error) ? 'Name a file of variables.' : 'Make it, or write required: false.'
      if (required || isNoText(error)) throw composeError(place, `cannot read ${file}: ${error.message}`, hint)
    })
    if (text === undefined) continue
    const read = raw ? parseRawEnv(text) : parseDotenv(text, named(file), (name) => lookup(name) ?? found[name])
    Object.assign(found, Object.fromEntries(read))
  }
  return found
}
