/** `caisson build`: as docker build. It takes the builder itself and not all of the library, for it is to start quickly. */
import { writeFile } from 'node:fs/promises'
import { build, check } from '../build/build.js'
import type { BuildOptions, BuildOutput, CacheTarget } from '../index.js'
import { buildProgress, QUIET, warningOf } from './build-progress.js'
import type { Command } from './command.js'
import type { Flag, Flags } from './flags.js'
import { usageError } from './usage.js'
import { parsePair } from './values.js'

const FLAGS: Flag[] = [
  { name: 'add-host', kind: 'list', value: 'name:address', help: 'Another host that commands know' },
  { name: 'allow', kind: 'list', help: 'network.host or security.insecure: what RUN may ask for' },
  { name: 'build-arg', kind: 'list', value: 'name[=value]', help: 'Value of an ARG' },
  {
    name: 'build-context',
    kind: 'list',
    value: 'name=place',
    help: 'Another context: a directory, an address, docker-image://NAME, oci-layout://DIRECTORY',
  },
  { name: 'cache-from', kind: 'list', value: 'type=registry,ref=R', help: 'A cache of earlier builds' },
  {
    name: 'cache-to',
    kind: 'list',
    value: 'type=registry,ref=R',
    help: 'Send the cache of this build (mode=min: of its stage)',
  },
  { name: 'check', kind: 'boolean', help: 'Print warnings about the Dockerfile, and build nothing' },
  { name: 'compress', kind: 'boolean', help: 'As without: nothing is sent anywhere' },
  { name: 'file', short: 'f', kind: 'text', help: 'The Dockerfile; - is the standard input' },
  { name: 'force-rm', kind: 'boolean', help: 'As without: containers of commands never stay' },
  { name: 'iidfile', kind: 'text', value: 'file', help: 'Write the id of the image to a file' },
  { name: 'label', kind: 'list', value: 'name=value', help: 'Label of the image' },
  { name: 'load', kind: 'boolean', help: 'As without: images are always kept here' },
  { name: 'memory', short: 'm', kind: 'text', help: 'Memory of each command' },
  { name: 'network', kind: 'text', help: 'Network of commands: default, none or host' },
  { name: 'no-cache', kind: 'boolean', help: 'Do everything anew' },
  { name: 'no-cache-filter', kind: 'list', value: 'stage', help: 'Do these stages anew' },
  { name: 'output', short: 'o', kind: 'list', value: 'type=T,dest=D', help: 'local, tar, oci or docker' },
  { name: 'platform', kind: 'text', help: 'Platform of the image, as linux/arm64' },
  { name: 'progress', kind: 'text', help: 'auto, plain, tty or json' },
  { name: 'pull', kind: 'boolean', help: 'Fetch base images also when they are here' },
  { name: 'push', kind: 'boolean', help: 'Send the image to the registries of its names' },
  { name: 'quiet', short: 'q', kind: 'boolean', help: 'Print the id alone' },
  { name: 'rm', kind: 'boolean', help: 'As without: containers of commands never stay' },
  { name: 'secret', kind: 'list', value: 'id=ID[,src=F|,env=V]', help: 'A secret for RUN --mount=type=secret' },
  { name: 'shm-size', kind: 'text', help: 'Size of /dev/shm of commands' },
  { name: 'ssh', kind: 'list', value: 'id[=socket]', help: 'An SSH agent for RUN --mount=type=ssh' },
  { name: 'tag', short: 't', kind: 'list', value: 'name', help: 'Name of the image' },
  { name: 'target', kind: 'text', value: 'stage', help: 'The stage to build' },
]

export const buildCommand: Command = {
  summary: 'Build an image from a Dockerfile',
  usage: 'build [FLAGS] CONTEXT',
  description: `Builds an image and prints its id. CONTEXT is a directory, the address of a git repository, or - for a tar archive (or,
without one, a Dockerfile) from the standard input.`,
  flags: FLAGS,
  exits: 'Exits with 0, or with 1 when it failed, or with --check when there are warnings.',

  async run(flags, words) {
    const context = contextOf(words)
    const abort = new AbortController()
    const stop = () => abort.abort()
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, stop)
    const progress = flags.boolean('quiet') ? QUIET : buildProgress(process.stderr, flags.text('progress'))
    try {
      const options = { ...(await buildOptions(flags, context)), onProgress: progress.tell, signal: abort.signal }
      if (flags.boolean('check')) {
        const warnings = await check(options)
        for (const warning of warnings) process.stdout.write(`${warningOf({ type: 'warning', warning })}\n`)
        return warnings.length > 0 ? 1 : 0
      }
      const image = await build(options)
      progress.end()
      const file = flags.text('iidfile')
      if (file !== undefined) await writeFile(file, image.id)
      process.stdout.write(`${image.id}\n`)
      return 0
    } catch (error) {
      progress.end()
      throw error
    } finally {
      for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, stop)
    }
  },
}

function contextOf([context, more]: readonly string[]): string {
  if (context === undefined) throw usageError('build: there is no context', 'Write caisson build [FLAGS] DIRECTORY.')
  if (more !== undefined) throw usageError(`build: ${more} is too much`, 'There is one context.')
  return context
}

/** What the flags ask for; exported for tests. */
export async function buildOptions(flags: Flags, context: string): Promise<BuildOptions> {
  const filter = flags.list('no-cache-filter')
  const memory = flags.text('memory')
  return given({
    ...(await sourcesOf(context, flags.text('file'))),
    allow: flags.list('allow') as BuildOptions['allow'],
    cacheFrom: flags.list('cache-from')?.map((text) => cacheOf(text, '--cache-from')),
    cacheTo: flags.list('cache-to')?.map((text) => cacheOf(text, '--cache-to')),
    args: optionalValues(flags.list('build-arg')),
    contexts: keyValues(flags.list('build-context'), '--build-context'),
    extraHosts: flags.list('add-host'),
    labels: keyValues(flags.list('label'), '--label'),
    limits: memory === undefined ? undefined : { memory },
    network: flags.text('network') as BuildOptions['network'],
    noCache: flags.boolean('no-cache') ?? filter,
    output: flags.list('output')?.map(outputOf),
    platform: flags.text('platform'),
    pull: flags.boolean('pull'),
    push: flags.boolean('push'),
    secrets: secretsOf(flags.list('secret')),
    shmSize: flags.text('shm-size'),
    ssh: agentsOf(flags.list('ssh')),
    tag: flags.list('tag'),
    target: flags.text('target'),
  })
}

/** Options that were not given are left out. */
function given<T extends object>(options: T): T {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as T
}

async function sourcesOf(
  context: string,
  file: string | undefined,
): Promise<Pick<BuildOptions, 'context' | 'dockerfile'>> {
  if (context === '-' && file === '-')
    throw usageError('build: - is both the context and the Dockerfile', 'Name a directory, or a Dockerfile.')
  if (file === '-') return { context, dockerfile: { text: (await readInput()).toString('utf8') } }
  if (context !== '-') return given({ context, dockerfile: file })
  const input = await readInput()
  // As docker: what is no archive is a Dockerfile alone.
  const isArchive =
    input.subarray(257, 262).toString('latin1') === 'ustar' ||
    [0x1f8b, 0x28b5].includes(input.length > 1 ? input.readUInt16BE(0) : 0)
  return isArchive ? given({ context: input, dockerfile: file }) : { dockerfile: { text: input.toString('utf8') } }
}

async function readInput(): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

function optionalValues(list: readonly string[] | undefined): BuildOptions['args'] {
  return list && Object.fromEntries(list.map((text) => text.split(/=(.*)/s, 2) as [string, string | undefined]))
}

/** `type=local,dest=out`; as docker, a path alone is `local`, and - is a tar archive to the standard output. */
function outputOf(text: string): BuildOutput {
  if (text === '-') return { type: 'tar', dest: process.stdout }
  if (!text.includes('=')) return { type: 'local', dest: text }
  const { type = '', dest } = fields(text, '--output')
  if (!['local', 'tar', 'oci', 'docker'].includes(type) || dest === undefined)
    throw usageError(`--output: ${text} is not understood`, 'Write type=local,dest=DIRECTORY, or tar, oci, docker.')
  return { type: type as 'tar', dest: dest === '-' && type !== 'local' ? process.stdout : dest }
}

/** As docker: a name alone is that of a registry's. */
function cacheOf(text: string, flag: string): CacheTarget {
  if (!text.includes('=')) return { type: 'registry', ref: text }
  const { type, ref, mode, ...others } = fields(text, flag)
  const modes = flag === '--cache-to' ? ['min', 'max', undefined] : [undefined]
  if (type !== 'registry' || ref === undefined || !modes.includes(mode) || Object.keys(others).length > 0)
    throw usageError(`${flag}: ${text} is not understood`, 'Write type=registry,ref=NAME.')
  return { type, ref, ...(mode === undefined ? {} : { mode: mode as 'min' }) }
}

function secretsOf(list: readonly string[] | undefined): BuildOptions['secrets'] {
  return (
    list &&
    Object.fromEntries(
      list.map((text) => {
        const { id, src, source = src, env } = fields(text, '--secret')
        if (id === undefined) throw usageError(`--secret: ${text} has no id`, 'Write id=ID,src=FILE or id=ID,env=NAME.')
        if (source !== undefined) return [id, { file: source }]
        return [id, { env: env ?? id }]
      }),
    )
  )
}

function agentsOf(list: readonly string[] | undefined): BuildOptions['ssh'] {
  return (
    list &&
    Object.fromEntries(
      list.map((text) => {
        const [id = '', socket = process.env.SSH_AUTH_SOCK] = text.split(/=(.*)/s, 2)
        if (!socket) throw usageError(`--ssh ${id}: SSH_AUTH_SOCK is not set`, 'Write --ssh ID=SOCKET.')
        return [id, socket]
      }),
    )
  )
}

function keyValues(list: readonly string[] | undefined, flag: string): Record<string, string> | undefined {
  return list && Object.fromEntries(list.map((text) => parsePair(text, flag)))
}

function fields(text: string, flag: string): Record<string, string | undefined> {
  return keyValues(text.split(','), flag) ?? {}
}
