/**
 * Secrets and configurations as files of the host that containers are shown, read-only: they are in no layer, and gone
 * with this process. Only we may pass their directory.
 */
import { randomBytes } from 'node:crypto'
import { chmod, chown, mkdir, open } from 'node:fs/promises'
import path from 'node:path'
import { composeError } from '../compose/node.js'
import type { ProjectModel, ServiceModel } from '../compose/project.js'
import type { SourceModel } from '../compose/resources.js'
import type { FileModel } from '../compose/short-forms.js'
import type { Mount } from '../options.js'
import { owner } from '../runtime/process/owner.js'
import type { Loaded } from './load.js'
import { readAtMost } from './read-text.js'

const PLACES = { secrets: '/run/secrets/', configs: '/' } as const
const MODE = 0o444
/** Bytes: they are held in memory. */
const MOST = 64 * 1024 * 1024

/** A file that a service has. */
export interface ServiceFile {
  target: string
  content: Buffer
  model: FileModel
}

/** Read now: what they hold is a part of what a container is made of. */
export async function readServiceFiles(
  service: ServiceModel,
  { secrets, configs }: Pick<ProjectModel, 'secrets' | 'configs'>,
  lookup: Loaded['lookup'],
): Promise<ServiceFile[]> {
  const kinds = { secrets, configs }
  const found: ServiceFile[] = []
  for (const kind of ['secrets', 'configs'] as const)
    for (const model of service[kind] ?? []) {
      const content = await contentOf(kinds[kind].get(model.source) as SourceModel, lookup)
      found.push({ target: path.posix.resolve(PLACES[kind], model.target ?? model.source), content, model })
    }
  return found
}

export async function contentOf(
  { file, environment, content, place }: SourceModel,
  lookup: Loaded['lookup'],
): Promise<Buffer> {
  if (content !== undefined) return Buffer.from(content)
  if (environment !== undefined) {
    const value = lookup(environment)
    if (value !== undefined) return Buffer.from(value)
    throw composeError(place, `the variable ${environment} is not set`, 'Set it in the environment or in .env.')
  }
  return readAtMost(file as string, MOST).catch((error) => {
    throw composeError(place, `cannot read ${file}: ${error.message}`, 'Give a file that is there and can be read.')
  })
}

async function give(source: string, target: string, { uid = 0, gid = 0, place }: FileModel): Promise<void> {
  await chown(source, uid, gid).catch((error: NodeJS.ErrnoException) => {
    throw composeError(
      place,
      `${target} cannot be given to ${uid}:${gid}: ${error.message}`,
      'Files of an ordinary user are those of root in the container: leave uid and gid out, or bring it up as root.',
      'ERR_CAISSON_PERMISSION',
    )
  })
}

export async function mountFiles(files: readonly ServiceFile[]): Promise<Mount[]> {
  if (files.length === 0) return []
  const directory = path.join((await owner()).run, 'files', randomBytes(8).toString('hex'))
  await mkdir(directory, { recursive: true, mode: 0o700 })
  const mounts: Mount[] = []
  for (const [i, { target, content, model }] of files.entries()) {
    const source = path.join(directory, String(i))
    const handle = await open(source, 'wx', 0o600)
    await handle.writeFile(content)
    await handle.close()
    if (model.uid !== undefined || model.gid !== undefined) await give(source, target, model)
    await chmod(source, model.mode ?? MODE)
    mounts.push({ type: 'bind', source, target, readOnly: true })
  }
  return mounts
}
