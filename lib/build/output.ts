/** Where else an image goes: its files to a directory or an archive, or all of it to an archive. */
import { createWriteStream } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import type { Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { Container } from '../container.js'
import { fullTag } from '../image/names.js'
import { type SavedImage, saveImages } from '../image/save.js'
import { readStored } from '../image/stored.js'
import { Image } from '../image.js'
import { applyLayer } from '../layer/apply.js'
import type { Descriptor } from '../spec/descriptor.js'
import { lowersOf, type Stack, stackId } from './layers.js'
import type { BuildFilesOutput, BuildOptions, BuildOutput } from './options.js'
import { ownersOf } from './owners.js'
import type { ForPlatform } from './platforms.js'
import type { Workspace } from './workspace.js'

export async function writeOutputs(
  space: Workspace,
  image: Image,
  stack: Stack,
  outputs: readonly BuildOutput[],
): Promise<void> {
  for (const output of outputs) {
    if (output.type === 'local' || output.type === 'tar') await writeFiles(space, stack, output)
    else await image.save(output.dest as string | Writable, { format: output.type })
  }
}

/** All images of an index, with their names. */
export async function writeIndexes(
  { roots: { store }, signal }: Workspace,
  index: Descriptor,
  made: readonly ForPlatform[],
  { output, tag }: BuildOptions,
): Promise<void> {
  const names = [tag ?? []].flat().map((name) => fullTag(name, 'tag'))
  const images: SavedImage[] = []
  for (const { descriptor } of made) images.push({ image: await readStored(store, descriptor), names, index })
  for (const { dest } of [output ?? []].flat())
    await saveImages(store, images, dest as string | Writable, { format: 'oci', signal })
}

async function writeFiles(space: Workspace, stack: Stack, output: BuildFilesOutput): Promise<void> {
  const { signal } = space
  const files = Image.ofLayers(stackId(stack), await lowersOf(space, stack), { Cmd: ['/'] })
  await using container = await Container.create(files, { storage: 'disk' })
  const archive = container.getArchive('/.', { signal })
  if (output.type === 'tar') {
    const to = typeof output.dest === 'string' ? createWriteStream(output.dest) : output.dest
    await pipeline(archive, to, { signal })
    return
  }
  await mkdir(output.dest, { recursive: true })
  // Set-id programs and devices are nothing for a directory of the caller's.
  const owners = (await ownersOf(space)) === 'set' && (await space.owner()).ordinary === undefined ? 'set' : 'ignore'
  await applyLayer({
    directory: output.dest,
    source: archive,
    whiteouts: 'none',
    owners,
    devices: 'skip',
    digests: false,
    signal,
  })
}
