/** What an archive of images holds, by the names of its members. */
import { isDigest } from '../spec/digest.js'
import { DOCUMENT_BOUNDS } from '../spec/json.js'
import type { Lease } from '../store/lease.js'
import type { Stored } from '../store/spool.js'
import type { Store } from '../store/store.js'
import { type ArchiveMember, archiveError } from './archive-reader.js'

export interface Members {
  /** Documents: small files at the top. */
  documents: Map<string, Buffer>
  /** Bytes of these: they are in memory. */
  documentBytes: number
  /** Everything else is in the store already. */
  stored: Map<string, Stored>
  links: Map<string, string>
}

const DOCUMENTS_MAX = 2000
const DOCUMENT_BYTES_MAX = 64 * 1024 * 1024
const DOCUMENT = /^(?:oci-layout|repositories|[\w.-]+\.json)$/
/** Links to links: docker makes one step. */
const HOPS_MAX = 8

/** Documents stay in memory, as they are read when all the rest is there; blobs go to the store as they come. */
export async function takeMember(store: Store, lease: Lease, members: Members, member: ArchiveMember): Promise<void> {
  const { name, size, link, content } = member
  if (link !== undefined) {
    members.links.set(name, link)
    return
  }
  if (DOCUMENT.test(name) && size <= DOCUMENT_BOUNDS.bytes) {
    if (members.documents.size === DOCUMENTS_MAX) throw archiveError(`it has more than ${DOCUMENTS_MAX} documents`)
    members.documentBytes += size
    if (members.documentBytes > DOCUMENT_BYTES_MAX)
      throw archiveError(`it has documents of more than ${DOCUMENT_BYTES_MAX} bytes`)
    const parts: Buffer[] = []
    for await (const part of content) parts.push(part)
    members.documents.set(name, Buffer.concat(parts))
    return
  }
  const [, algorithm, encoded] = /^blobs\/([a-z0-9]+)\/([0-9a-f]+)$/.exec(name) ?? []
  const digest = `${algorithm}:${encoded}`
  const stored = isDigest(digest)
    ? await storeAs(store, lease, { digest, size }, content)
    : await storeUnknown(store, lease, content)
  members.stored.set(name, stored)
}

/** Content that has to have a digest. */
export async function storeAs(
  store: Store,
  lease: Lease,
  expected: Stored,
  content: AsyncIterable<Uint8Array>,
): Promise<Stored> {
  const ingest = await store.ingest(expected, { lease, fresh: true, repair: true })
  try {
    if (!ingest.present) for await (const part of content) await ingest.write(part)
    await ingest.commit()
  } catch (error) {
    await ingest.abort()
    throw error
  }
  return expected
}

/** Content whose digest shows when all of it is there. */
export async function storeUnknown(store: Store, lease: Lease, content: AsyncIterable<Uint8Array>): Promise<Stored> {
  const spool = await store.spool(lease, { repair: true })
  try {
    for await (const part of content) await spool.write(part)
    return await spool.commit()
  } catch (error) {
    await spool.abort()
    throw error
  }
}

/** The content of a member that may be a link to another: docker links equal layers. */
export function memberOf(members: Members, name: string): Stored | undefined {
  let at: string | undefined = name
  for (let hops = 0; at !== undefined && hops < HOPS_MAX; hops++) {
    const stored = members.stored.get(at)
    if (stored) return stored
    at = members.links.get(at)
  }
  return undefined
}
