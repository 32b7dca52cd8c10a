/** The contexts of a build: directories of the host, unpacked archives, git repositories, and images in their place. */
import { open, stat } from 'node:fs/promises'
import path from 'node:path'
import { CaissonError, invalidArgument } from '../errors.js'
import { Image } from '../image.js'
import type { Descriptor } from '../spec/descriptor.js'
import { agentsOf } from './agents.js'
import { DOCKERFILE_MAX, readContextFile, readIgnored } from './context-file.js'
import { parseGitAddress } from './dockerfile/git-source.js'
import type { Downloaded } from './download.js'
import type { checkOut } from './git.js'
import type { BuildOptions } from './options.js'
import type { Tree } from './tree.js'
import type { Workspace } from './workspace.js'

/** A directory that files come from. It is walked when it is needed first, and once. */
export class DirectoryContext {
  readonly root: string
  readonly #space: Workspace
  readonly #ignore: readonly string[]
  #tree: Promise<Tree> | undefined

  constructor(space: Workspace, root: string, ignore: readonly string[]) {
    this.#space = space
    this.root = root
    this.#ignore = ignore
  }

  get ignore(): readonly string[] {
    return this.#ignore
  }

  tree(): Promise<Tree> {
    this.#tree ??= this.#space.take(this.root, this.#ignore)
    return this.#tree
  }
}

export interface OpenedContext {
  /** undefined: there is none. */
  context?: DirectoryContext
  dockerfile: { text: string; name: string }
}

/** Opens the main context, and finds the Dockerfile. */
export async function openContext(space: Workspace, options: BuildOptions): Promise<OpenedContext> {
  const text = await textAt(space, options.context)
  if (text !== undefined) return { dockerfile: { text, name: 'Dockerfile' } }
  const root = await contextRoot(space, options)
  const dockerfile = await findDockerfile(root, options.dockerfile, space.contextOnly)
  if (root === undefined) return { dockerfile }
  const ignore = await readIgnored(root, dockerfile.file)
  return { context: new DirectoryContext(space, root, ignore), dockerfile }
}

/** A directory for what was given; undefined for nothing. */
async function contextRoot(space: Workspace, { context: given, ssh }: BuildOptions): Promise<string | undefined> {
  if (given === undefined) return undefined
  if (typeof given !== 'string') return unpack(space, given instanceof Uint8Array ? once(given) : given)
  return placeOf(space, given, 'context', ssh)
}

const isAddress = (given: string) => /^https?:\/\//.test(given) && !gitAddress(given)

/** As docker: what an address leads to and is no archive is a Dockerfile that has no context. */
async function textAt(space: Workspace, given: BuildOptions['context']): Promise<string | undefined> {
  if (typeof given !== 'string' || !isAddress(given)) return undefined
  const { file, size } = await downloaded(space, given)
  const { beginsAsArchive, BEGINNING } = await import('./copy-sources.js')
  const handle = await open(file)
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(BEGINNING), 0, BEGINNING, 0)
    if (beginsAsArchive(buffer.toString('latin1', 0, bytesRead))) return undefined
    if (size > DOCKERFILE_MAX) throw invalidArgument('context', given, 'an archive, or a Dockerfile of at most 16 MiB')
    return await handle.readFile('utf8')
  } finally {
    await handle.close()
  }
}

/** Once for each address of a build. */
async function downloaded(space: Workspace, address: string): Promise<Downloaded> {
  const known = space.downloads.get(address)
  if (known) return known
  const { download } = await import('./download.js')
  const coming = download(space, address, { namedBy: 'caller' })
  space.downloads.set(address, coming)
  return coming
}

/** A directory of this machine for one, for a repository, or for an archive at an address. */
async function placeOf(space: Workspace, given: string, option: string, ssh: BuildOptions['ssh']): Promise<string> {
  const git = gitAddress(given)
  if (git) {
    const access = { caller: true, agent: agentsOf(ssh).get('default') }
    return (await checkedOut(space, { ...git, kind: 'git', keepGitDir: git.keepGitDir ?? false }, access)).directory
  }
  if (isAddress(given)) return unpack(space, (await downloaded(space, given)).file)
  return directoryAt(given, option)
}

async function directoryAt(given: string, option: string): Promise<string> {
  const root = path.resolve(given)
  const status = await stat(root).catch(() => undefined)
  if (!status?.isDirectory())
    throw new CaissonError('ERR_CAISSON_FILE', `${option}: ${root} is not a directory`, {
      stage: 'build',
      hint: 'Give a directory, a tar archive as a stream, or the address of a git repository.',
    })
  return root
}

const checkedOut = async (...asked: Parameters<typeof checkOut>) => (await import('./git.js')).checkOut(...asked)

/** The caller may also name a repository of this machine: file:///srv/app.git. */
function gitAddress(text: string) {
  if (!/^file:\/\/.*\.git(?:[?#]|$)/.test(text)) return parseGitAddress(text)
  const address = parseGitAddress(text.replace('file://', 'git://'))
  return address && { ...address, remote: address.remote.replace('git://', 'file://') }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}

async function unpack(space: Workspace, source: string | AsyncIterable<Uint8Array>): Promise<string> {
  const { applyLayer } = await import('../layer/apply.js')
  const directory = await space.directory()
  // Owners of a context do not count; files must be ours to be read.
  await applyLayer({
    directory,
    source,
    whiteouts: 'none',
    owners: 'ignore',
    devices: 'skip',
    end: 'lenient',
    digests: false,
    signal: space.signal,
  })
  return directory
}

interface FoundDockerfile {
  text: string
  name: string
  /** Where it lies; undefined: it was given as text. */
  file?: string
}

async function findDockerfile(
  root: string | undefined,
  given: BuildOptions['dockerfile'],
  contextOnly: boolean,
): Promise<FoundDockerfile> {
  if (typeof given === 'object') return { text: given.text, name: 'Dockerfile' }
  if (given?.includes('\n') && !contextOnly) return { text: given, name: 'Dockerfile' }
  const name = given ?? 'Dockerfile'
  const inside = root === undefined ? [] : [path.resolve(root, name)]
  // The root of the context is then the topmost directory that the name leads to.
  const alone = root === undefined ? [] : [path.join(root, path.resolve('/', name))]
  const places = contextOnly ? alone : [...inside, path.resolve(name)]
  // As docker: a file of the old name counts when there is no other.
  if (given === undefined && root !== undefined) places.splice(1, 1, path.join(root, 'dockerfile'))
  for (const file of places) {
    const text = await readContextFile(file, root)
    if (text !== undefined) return { text, name: given ?? path.basename(file), file }
  }
  throw new CaissonError(
    'ERR_CAISSON_FILE',
    `there is no ${name} in ${contextOnly ? 'the context' : (root ?? process.cwd())}`,
    {
      stage: 'build',
      hint: contextOnly
        ? 'Send it with the context, under the name that is given.'
        : 'Name it with the option dockerfile (-f), or give its text as { text }.',
      cause: { code: 'ENOENT', errno: -2, syscall: 'open', path: places[0] },
    },
  )
}

/** As buildx has it. No tag has a slash, so a colon in the path is none. */
const OCI_LAYOUT = /^oci-layout:\/\/(.+?)(?::([\w.-]+))?(?:@([a-z0-9]+:[0-9a-f]+))?$/s

/** An image in place of a context: by its name, itself, or as it was brought from a layout. */
export type GivenImage = string | Image | { layout: Descriptor }

/** A context by name, opened when it is needed first. */
export async function openNamed(
  space: Workspace,
  name: string,
  given: string | Image,
  ssh: BuildOptions['ssh'],
): Promise<DirectoryContext | { image: GivenImage }> {
  if (given instanceof Image) return { image: given }
  const [, place, tag, digest] = OCI_LAYOUT.exec(given) ?? []
  if (place !== undefined) {
    const { readLayoutImage } = await import('../image/load-oci.js')
    const { roots, lease, signal } = space
    return {
      image: { layout: await readLayoutImage(roots.store, lease, path.resolve(place), { tag, digest }, signal) },
    }
  }
  const [, reference] = /^docker-image:\/\/(.+)$/.exec(given) ?? []
  if (reference !== undefined) return { image: reference }
  const root = await placeOf(space, given, `contexts.${name}`, ssh)
  return new DirectoryContext(space, root, await readIgnored(root, undefined))
}
