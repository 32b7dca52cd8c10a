/**
 * Ranges of ids that one container alone has (security.userns: 'auto'): what escapes from one is nobody to the others.
 *
 * A range is held by a lock on a file of this machine, which the kernel lets go with its holder, however that ends.
 */
import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import { CaissonError } from '../../errors.js'
import { addon } from '../../native/addon.js'
import { roots } from '../../util/roots.js'
import type { IdMapPair } from './id-maps.js'
import { type Grant, readSubIds } from './sub-ids.js'

/** Enough for nobody (65534) and every account below it. */
const SIZE = 65_536

/** Who may be granted ranges for this in /etc/subuid and /etc/subgid: a name for it, as useradd(8) knows none. */
const GRANTED_TO = 'caisson'

/** Without a grant: above the ids that people, subordinate ids and systemd-nspawn use, and below 2^31. */
const UNGRANTED: Grant = { name: '', first: 0x7000_0000, count: 4096 * SIZE }

export interface IdRange {
  maps: IdMapPair
  release(): void
}

/** The first id of each range that both files grant, or of those that nobody does. */
export function rangesOf(uids: readonly Grant[], gids: readonly Grant[]): number[] {
  const firsts = (grants: readonly Grant[]) =>
    grants
      .filter(({ name }) => name === GRANTED_TO)
      .flatMap(({ first, count }) => Array.from({ length: Math.floor(count / SIZE) }, (_, i) => first + i * SIZE))
  const both = new Set(firsts(gids))
  const granted = firsts(uids).filter((first) => both.has(first))
  return granted.length > 0 ? granted : firsts([{ ...UNGRANTED, name: GRANTED_TO }])
}

/** One that no container of this machine has; ERR_CAISSON_RESOURCE_EXHAUSTED when there is none left. */
export async function takeIdRange(): Promise<IdRange> {
  const directory = path.join(roots().run, 'ids')
  await mkdir(directory, { recursive: true, mode: 0o711 })
  const ranges = rangesOf(readSubIds('/etc/subuid'), readSubIds('/etc/subgid'))
  // Where one begins to look, others hardly do.
  const begin = Math.floor(Math.random() * ranges.length)
  for (let i = 0; i < ranges.length; i++) {
    const first = ranges[(begin + i) % ranges.length] as number
    const lock = await addon().lock(path.join(directory, String(first)), true, false)
    if (lock < 0) continue
    const map = [{ containerID: 0, hostID: first, size: SIZE }]
    return { maps: { uidMap: map, gidMap: map }, release: () => addon().closeFd(lock) }
  }
  throw new CaissonError('ERR_CAISSON_RESOURCE_EXHAUSTED', `all ${ranges.length} ranges of ids are in use`, {
    stage: 'user namespace',
    hint: `Grant more in /etc/subuid and /etc/subgid: usermod --add-subuids FIRST-LAST --add-subgids FIRST-LAST ${GRANTED_TO}.`,
  })
}
