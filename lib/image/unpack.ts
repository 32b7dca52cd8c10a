/** A root file system out of an archive. */
import { randomBytes } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import { type ApplyOptions, applyLayer } from '../layer/apply.js'
import type { LayerLimits } from '../layer/options.js'
import { removeTree } from '../layer/tree.js'

export interface UnpackOptions {
  /** Bounds of what is unpacked. */
  limits?: LayerLimits
  signal?: AbortSignal
}

/**
 * Unpacks a tar archive to a new directory below `directory`. Its set-id programs and devices must not be there for
 * other users of the host (CVE-2021-41103): only we may pass the directory above it, and devices are left out, as
 * containers have their own.
 */
export async function unpackRoot(
  directory: string,
  source: string | AsyncIterable<Uint8Array>,
  { owners, ...options }: UnpackOptions & Pick<ApplyOptions, 'owners'> = {},
): Promise<{ root: string; diffId: string }> {
  const above = path.join(directory, randomBytes(8).toString('hex'))
  const root = path.join(above, 'root')
  await mkdir(directory, { recursive: true, mode: 0o711 })
  await mkdir(above, { mode: 0o700 })
  try {
    await mkdir(root, { mode: 0o755 })
    const { diffId } = await applyLayer({
      directory: root,
      source,
      whiteouts: 'none',
      owners,
      devices: 'skip',
      ...options,
    })
    return { root, diffId }
  } catch (error) {
    await removeTree(above)
    throw error
  }
}
