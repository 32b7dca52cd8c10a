/** Layers of a few members, applied. */
import { Readable } from 'node:stream'
import { type ApplyOptions, applyLayer } from '../../lib/layer/apply.js'
import { archive, type Member } from './archive.js'
import { isRoot } from './needs.js'
import { scratch } from './tree.js'

/** An ordinary user cannot give files away. */
export const mine: Partial<ApplyOptions> = isRoot ? {} : { owners: 'ignore' }

export function apply(directory: string, bytes: Uint8Array, options: Partial<ApplyOptions> = {}) {
  return applyLayer({ directory, source: Readable.from([bytes]), whiteouts: 'apply', ...mine, ...options })
}

/** A new directory with members in it. */
export async function unpacked(...members: Array<Member | Buffer>): Promise<string> {
  const directory = scratch()
  await apply(directory, archive(...members))
  return directory
}
