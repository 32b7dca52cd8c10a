/** `caisson build`: as docker build. It takes the builder itself and not all of the library, for it is to start quickly. */
import { writeFile } from 'node:fs/promises'
import { build, check } from '../build/build.js'
import { fullTag } from '../image/names.js'
import type { BuildEvent, BuildOptions, Image } from '../index.js'
import { buildProgress, warningOf } from './build-progress.js'
import {
  agentsOf,
  cacheSourceOf,
  cacheTargetOf,
  keyValues,
  type Outputs,
  optionalValues,
  outputsOf,
  secretsOf,
} from './build-values.js'
import type { Command } from './command.js'
import type { Flag, Flags } from './flags.js'
import { usageError } from './usage.js'
import { parseUlimit } from './values.js'

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
  {
    name: 'cache-from',
    kind: 'list',
    value: 'type=registry,ref=R',
    help: 'A cache of earlier builds, also type=local,src=DIRECTORY',
  },
  {
    name: 'cache-to',
    kind: 'list',
    value: 'type=registry,ref=R',
    help: 'Send the cache of this build (mode=min: of its stage), also type=local,dest=DIRECTORY or type=inline',
  },
  { name: 'check', kind: 'boolean', help: 'Print warnings about the Dockerfile, and build nothing' },
  { name: 'compress', kind: 'boolean', help: 'As without: nothing is sent anywhere' },
  { name: 'file', short: 'f', kind: 'text', help: 'The Dockerfile; - is the standard input' },
  { name: 'force-rm', kind: 'boolean', help: 'As without: containers of commands never stay' },
  { name: 'iidfile', kind: 'text', value: 'file', help: 'Write the id of the image to a file' },
  { name: 'label', kind: 'list', value: 'name=value', help: 'Label of the image' },
  { name: 'load', kind: 'boolean', help: 'As without: images are always kept here' },
  { name: 'memory', short: 'm', kind: 'text', help: 'Memory of each command' },
  {
    name: 'metadata-file',
    kind: 'text',
    value: 'file',
    help: 'Write digests and names of the image to a file, as JSON',
  },
  { name: 'network', kind: 'text', help: 'Network of commands: default, none or host' },
  { name: 'no-cache', kind: 'boolean', help: 'Do everything anew' },
  { name: 'no-cache-filter', kind: 'list', value: 'stage', help: 'Do these stages anew' },
  {
    name: 'output',
    short: 'o',
    kind: 'list',
    value: 'type=T,dest=D',
    help: 'local, tar, oci, docker, image or registry',
  },
  {
    name: 'platform',
    kind: 'text',
    help: 'Platform of the image, as linux/arm64, or several: linux/amd64,linux/arm64',
  },
  { name: 'progress', kind: 'text', help: 'auto, plain, tty, json or quiet' },
  { name: 'pull', kind: 'boolean', help: 'Fetch base images also when they are here' },
  { name: 'push', kind: 'boolean', help: 'Send the image to the registries of its names' },
  { name: 'quiet', short: 'q', kind: 'boolean', help: 'Print the id alone' },
  { name: 'rm', kind: 'boolean', help: 'As without: containers of commands never stay' },
  { name: 'secret', kind: 'list', value: 'id=ID[,src=F|,env=V]', help: 'A secret for RUN --mount=type=secret' },
  { name: 'shm-size', kind: 'text', help: 'Size of /dev/shm of commands' },
  { name: 'ssh', kind: 'list', value: 'id[=socket]', help: 'An SSH agent for RUN --mount=type=ssh' },
  { name: 'tag', short: 't', kind: 'list', value: 'name', help: 'Name of the image' },
  { name: 'target', kind: 'text', value: 'stage', help: 'The stage to build' },
  { name: 'ulimit', kind: 'list', value: 'name=soft[:hard]', help: 'Limit of each command' },
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
    const progress = buildProgress(process.stderr, flags.boolean('quiet') ? 'quiet' : flags.text('progress'))
    try {
      const pushed = new Map<string, string>()
      const tell = (event: BuildEvent) => {
        if (event.type === 'pushed') pushed.set(event.image, event.digest)
        progress.tell(event)
      }
      const options = { ...(await buildOptions(flags, context)), onProgress: tell, signal: abort.signal }
      if (flags.boolean('check')) {
        const warnings = await check(options)
        for (const warning of warnings) process.stdout.write(`${warningOf({ type: 'warning', warning })}\n`)
        return warnings.length > 0 ? 1 : 0
      }
      const image = await build(options)
      progress.end()
      const [file, metadata] = [flags.text('iidfile'), flags.text('metadata-file')]
      if (file !== undefined) await writeFile(file, image.id)
      if (metadata !== undefined) await writeFile(metadata, metadataOf(image, options.tag, pushed))
      // An archive that went there is all that is wanted there.
      const isTaken = [options.output ?? []].flat().some(({ dest }) => dest === process.stdout)
      if (!isTaken) process.stdout.write(`${image.id}\n`)
      return 0
    } catch (error) {
      progress.end()
      throw error
    } finally {
      for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, stop)
    }
  },
}

/** As buildx: of an image that was pushed, the digest is that of the registry. */
function metadataOf(image: Image, tag: BuildOptions['tag'], pushed: ReadonlyMap<string, string>): string {
  const names = [tag ?? []].flat().map((name) => fullTag(name, 'tag'))
  const [digest = image.digest] = pushed.values()
  const metadata = {
    'containerimage.config.digest': image.id,
    'containerimage.digest': digest,
    ...(names.length > 0 ? { 'image.name': names.join(',') } : {}),
  }
  return `${JSON.stringify(metadata, undefined, 2)}\n`
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
  const outputs = outputsOf(flags.list('output'))
  const ulimits = flags.list('ulimit')?.map(parseUlimit)
  return given({
    ...(await sourcesOf(context, flags.text('file'))),
    allow: flags.list('allow') as BuildOptions['allow'],
    cacheFrom: flags.list('cache-from')?.map(cacheSourceOf),
    cacheTo: flags.list('cache-to')?.map(cacheTargetOf),
    compression: outputs.compression,
    args: optionalValues(flags.list('build-arg')),
    contexts: keyValues(flags.list('build-context'), '--build-context'),
    extraHosts: flags.list('add-host'),
    labels: keyValues(flags.list('label'), '--label'),
    limits: memory === undefined ? undefined : { memory },
    network: flags.text('network') as BuildOptions['network'],
    noCache: flags.boolean('no-cache') ?? filter,
    output: outputs.output.length > 0 ? outputs.output : undefined,
    platform: flags.text('platform'),
    pull: flags.boolean('pull'),
    push: flags.boolean('push') || outputs.push || undefined,
    secrets: secretsOf(flags.list('secret')),
    shmSize: flags.text('shm-size'),
    ssh: agentsOf(flags.list('ssh')),
    tag: namesOf(flags.list('tag'), outputs),
    target: flags.text('target'),
    ulimits: ulimits && Object.fromEntries(ulimits),
  })
}

function namesOf(tags: readonly string[] = [], outputs: Outputs): string[] | undefined {
  const names = [...new Set([...tags, ...outputs.tags])]
  return names.length > 0 ? names : undefined
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
