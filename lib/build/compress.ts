/** Layers in the form that registries keep. */
import { createReadStream } from 'node:fs'
import type { Descriptor } from '../spec/descriptor.js'
import { MEDIA_TYPES } from '../spec/media-types.js'
import type { Workspace } from './workspace.js'

/** The same layer gives the same bytes. */
export async function compress({ roots, lease, signal }: Workspace, { digest }: Descriptor): Promise<Descriptor> {
  const { createGzip } = await import('node:zlib')
  const { store } = roots
  const spool = await store.spool(lease)
  try {
    const source = createReadStream(store.path(digest), { highWaterMark: 1024 * 1024, signal })
    const gzip = source.pipe(createGzip({ level: 6, chunkSize: 1024 * 1024 }))
    source.on('error', (error) => gzip.destroy(error))
    for await (const chunk of gzip) await spool.write(chunk)
    return { mediaType: MEDIA_TYPES.ociLayerGzip, ...(await spool.commit()) }
  } catch (error) {
    await spool.abort()
    throw error
  }
}
