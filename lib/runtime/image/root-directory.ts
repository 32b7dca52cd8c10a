/** The directory that Image.fromRootfs() makes an image of: one that is used in place, or what is unpacked of an archive. */
import { createHash } from 'node:crypto'
import { stat } from 'node:fs/promises'
import path from 'node:path'
import { CaissonError } from '../../errors.js'
import type { UnpackOptions } from '../../image/unpack.js'
import type { ImageConfig } from '../../spec/image.js'
import type { ArchiveSource } from '../container/archive.js'

export interface RootDirectory {
  /** Of what the image is made of, as `sha256:...`. */
  id: string
  directory: string
}

export async function rootDirectory(
  source: string | ArchiveSource,
  config: ImageConfig,
  options: UnpackOptions,
): Promise<RootDirectory> {
  if (typeof source !== 'string') {
    const { archiveChunks } = await import('../container/archive.js')
    return unpacked(archiveChunks(source, 'rootfs'), config, options)
  }
  const absolute = path.resolve(source)
  const status = await stat(absolute).catch(() => undefined)
  if (status?.isFile()) return unpacked(absolute, config, options)
  if (!status?.isDirectory())
    throw new CaissonError('ERR_CAISSON_IMAGE_NOT_FOUND', `${absolute} is neither a directory nor an archive`, {
      stage: 'image',
      hint: 'Give the directory that holds bin, lib and so on, or a tar archive of it.',
    })
  return { id: idOf({ absolute, ino: status.ino, dev: status.dev, config }), directory: absolute }
}

async function unpacked(
  source: string | AsyncIterable<Uint8Array>,
  config: ImageConfig,
  options: UnpackOptions,
): Promise<RootDirectory> {
  const { owner } = await import('../process/owner.js')
  const { hasOthers } = await import('../user/id-maps.js')
  const { unpackRoot } = await import('../../image/unpack.js')
  const { data, ordinary } = await owner()
  const owners = ordinary && !hasOthers(ordinary.idMaps) ? 'ignore' : 'set'
  const { root, diffId } = await unpackRoot(path.join(data, 'images'), source, { ...options, owners })
  return { id: idOf({ diffId, config }), directory: root }
}

function idOf(identity: object): string {
  return `sha256:${createHash('sha256').update(JSON.stringify(identity)).digest('hex')}`
}
