/** What a container changed, as a directory above the root that it began with: for roots that are used in place. */
import { randomBytes } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import { applyLayer } from '../layer/apply.js'
import { type PackOptions, packStream } from '../layer/pack.js'
import { removeTree, settleLayer } from '../layer/tree.js'
import type { SnapshotForm } from '../snapshot/snapshots.js'

export interface Above {
  /** For overlay, with its marks. */
  root: string
  remove(): Promise<void>
}

/**
 * Unpacks to a new directory below `directory`.
 *
 * @param lowers what it will lie above, the uppermost first.
 */
export async function unpackAbove(
  directory: string,
  pack: PackOptions,
  lowers: readonly string[],
  { owners, overlayXattrs }: SnapshotForm,
): Promise<Above> {
  // As in unpack.ts: set-id programs in it are nothing for other users of the host.
  const above = path.join(directory, randomBytes(8).toString('hex'))
  const root = path.join(above, 'root')
  await mkdir(directory, { recursive: true, mode: 0o711 })
  await mkdir(above, { mode: 0o700 })
  const remove = () => removeTree(above)
  try {
    await mkdir(root, { mode: 0o755 })
    const { stream, result } = packStream(pack)
    const layer = { directory: root, overlayXattrs, owners, devices: 'skip', digests: false } as const
    const [{ unsettled }] = await Promise.all([
      applyLayer({ ...layer, source: stream, whiteouts: 'overlay', signal: pack.signal }),
      result,
    ])
    await settleLayer({ directory: root, lowers, unsettled, overlayXattrs })
    return { root, remove }
  } catch (error) {
    await remove()
    throw error
  }
}
