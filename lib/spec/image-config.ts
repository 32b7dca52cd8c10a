/** Checks the configuration of an image: what it runs, and which layers it is made of (image-spec config.md). */
import { readPlatform } from './descriptor-parse.js'
import { isDigest } from './digest.js'
import { Fields } from './fields.js'
import type { HealthConfig, HistoryEntry, ImageConfig, ImageDocument } from './image.js'
import { checkNames, documentError, type Json, parseDocument } from './json.js'

const WHAT = 'image configuration'
const NAMES = ['created', 'author', 'architecture', 'os', 'variant', 'config', 'rootfs', 'history'] as const
const ROOTFS_NAMES = ['type', 'diff_ids'] as const
const CONFIG_NAMES = [
  'User',
  'ExposedPorts',
  'Env',
  'Entrypoint',
  'Cmd',
  'Volumes',
  'WorkingDir',
  'Labels',
  'StopSignal',
  'Healthcheck',
  'Shell',
  'OnBuild',
] as const

/**
 * Throws ERR_CAISSON_MANIFEST.
 *
 * @param layers how many the manifest has: as many must be named here.
 */
export function parseImageConfig(bytes: Uint8Array, layers?: number): ImageDocument {
  const document = parseDocument(bytes, WHAT)
  checkNames(document, NAMES, WHAT)
  const fields = new Fields(document, WHAT)
  const diffIds = readRootfs(fields.object('rootfs') ?? fields.fail('rootfs', 'a list of layers'))
  if (layers !== undefined && diffIds.length !== layers)
    throw documentError(WHAT, `it names ${diffIds.length} layers, and the manifest ${layers}`)
  const created = fields.text('created')
  const author = fields.text('author')
  return {
    ...readPlatform(document, WHAT, ''),
    ...(created ? { created } : {}),
    ...(author ? { author } : {}),
    config: readConfig(fields.object('config') ?? {}),
    rootfs: { type: 'layers', diff_ids: diffIds },
    history: (fields.objects('history') ?? []).map(readHistory),
  }
}

function readRootfs(rootfs: Json): string[] {
  checkNames(rootfs, ROOTFS_NAMES, WHAT)
  const fields = new Fields(rootfs, WHAT, 'rootfs.')
  if (fields.text('type') !== 'layers') fields.fail('type', '"layers"')
  const diffIds = fields.texts('diff_ids') ?? []
  diffIds.forEach((diffId, index) => {
    if (!isDigest(diffId)) fields.fail(`diff_ids[${index}]`, 'a digest')
  })
  return diffIds
}

function readHistory(entry: Json, index: number): HistoryEntry {
  const fields = new Fields(entry, WHAT, `history[${index}].`)
  const made: HistoryEntry = {}
  for (const name of ['created', 'created_by', 'author', 'comment'] as const) {
    const text = fields.text(name)
    if (text !== undefined) made[name] = text
  }
  if (fields.boolean('empty_layer')) made.empty_layer = true
  return made
}

/** What a program is started with; texts without NUL, which no program could be given. */
export function readConfig(object: Json): ImageConfig {
  checkNames(object, CONFIG_NAMES, WHAT)
  const fields = new Fields(object, WHAT, 'config.')
  const config: ImageConfig = {}
  for (const name of ['User', 'WorkingDir', 'StopSignal'] as const) {
    const text = fields.text(name)
    if (text?.includes('\0')) fields.fail(name, 'a string without NUL')
    if (text) config[name] = text
  }
  for (const name of ['Env', 'Entrypoint', 'Cmd', 'Shell', 'OnBuild'] as const) {
    const texts = fields.texts(name)
    if (texts?.some((text) => text.includes('\0'))) fields.fail(name, 'a list of strings without NUL')
    if (texts) config[name] = texts
  }
  if (config.Env?.some((variable) => variable.indexOf('=') < 1)) fields.fail('Env', 'a list of NAME=VALUE')
  for (const name of ['ExposedPorts', 'Volumes'] as const) {
    const set = fields.set(name)
    if (set) config[name] = set
  }
  const labels = fields.map('Labels')
  if (labels) config.Labels = labels
  const health = fields.object('Healthcheck')
  if (health) config.Healthcheck = readHealth(health)
  return config
}

function readHealth(object: Json): HealthConfig {
  const fields = new Fields(object, WHAT, 'config.Healthcheck.')
  const health: HealthConfig = {}
  const test = fields.texts('Test')
  if (test) health.Test = test
  for (const name of ['Interval', 'Timeout', 'StartPeriod', 'StartInterval', 'Retries'] as const) {
    const number = fields.count(name)
    if (number !== undefined) health[name] = number
  }
  return health
}
