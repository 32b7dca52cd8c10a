/** Id maps of user namespaces (user_namespaces(7)): defaults, checks, and the kernel's text for them. */
import { existsSync, readFileSync } from 'node:fs'
import { userInfo } from 'node:os'
import path from 'node:path'
import { invalidArgument } from '../../errors.js'
import type { NativeIdMaps } from '../../native/addon.js'
import type { IdMapping } from '../../spec/runtime.js'
import { hasCapability, privileged } from '../../util/privileged.js'
import { type Grant, grantsOf, ownGrants, readSubIds, type User } from './sub-ids.js'

export interface IdMapPair {
  uidMap: readonly IdMapping[]
  gidMap: readonly IdMapping[]
}

/** Ids that a container gets when nobody says how many: enough for nobody (65534) and every account below it. */
const RANGE = 65_536
/** The host's first id of a range that no file grants; below it are accounts of people (login.defs). */
const FIRST = 100_000
const ID_MAX = 0xffffffff
/** Lines that the kernel takes. */
const LINES_MAX = 340

const [CAP_SETGID, CAP_SETUID, CAP_SETFCAP] = [6n, 7n, 31n]

/** The maps that a user namespace gets when the caller gives none. */
export interface DefaultMaps extends IdMapPair {
  /** Why there is but one id, so that everything belongs to root inside. */
  lacking?: string
}

/**
 * Root: one range of 65536 ids, granted in /etc/subuid or, from 100000 on, to nobody. Anybody else: itself as root, and
 * what the files grant from id 1 on, as far as somebody may map it: newuidmap, or we ourselves.
 */
export function defaultIdMaps(): DefaultMaps {
  const user = account()
  const subuids = readSubIds('/etc/subuid')
  if (privileged()) {
    return { uidMap: rangeOfRoot(user, subuids), gidMap: rangeOfRoot(user, readSubIds('/etc/subgid')) }
  }
  return ordinaryIdMaps(user, subuids, readSubIds('/etc/subgid'), cannotMap(user))
}

/** A range that is granted, or the first that nobody else has: whose ids they are may end the processes of a container. */
export function rangeOfRoot(user: User, grants: readonly Grant[]): IdMapping[] {
  let first = grantsOf(grants, user).find(({ count }) => count >= RANGE)?.first
  if (first === undefined) {
    first = FIRST
    for (const other of grants.filter(({ count }) => count > 0).sort((a, b) => a.first - b.first))
      if (other.first < first + RANGE && first < other.first + other.count) first = other.first + other.count
  }
  return [{ containerID: 0, hostID: first, size: RANGE }]
}

/** `refusal`: why nobody may map more than the user itself. */
export function ordinaryIdMaps(
  user: User & { gid: number },
  subuids: readonly Grant[],
  subgids: readonly Grant[],
  refusal: string | undefined,
): DefaultMaps {
  const alone = { uidMap: append(user.uid, []), gidMap: append(user.gid, []) }
  const uids = ownGrants(subuids, user, user.uid)
  const gids = ownGrants(subgids, user, user.gid)
  for (const [file, { usable, shared }] of [
    ['/etc/subuid', uids],
    ['/etc/subgid', gids],
  ] as const)
    if (usable.length === 0) {
      const [first] = shared
      const range = first && `${first.first}-${first.first + first.count - 1}`
      const lacking = first
        ? `in ${file} the range ${range} of this user is another's too`
        : `${file} grants this user no range`
      return { ...alone, lacking }
    }
  if (refusal) return { ...alone, lacking: refusal }
  return { uidMap: append(user.uid, uids.usable), gidMap: append(user.gid, gids.usable) }
}

function append(own: number, grants: readonly Grant[]): IdMapping[] {
  const map = [{ containerID: 0, hostID: own, size: 1 }]
  let next = 1
  for (const { first, count } of grants.slice(0, LINES_MAX - 1)) {
    map.push({ containerID: next, hostID: first, size: count })
    next += count
  }
  return map
}

/** Root without rights over the machine may still have those to hand ids on. */
function mapsItself(): boolean {
  if (process.geteuid?.() !== 0) return false
  const status = ownStatus()
  return [CAP_SETGID, CAP_SETUID, CAP_SETFCAP].every((capability) => hasCapability(status, capability))
}

function cannotMap({ uid }: User): string | undefined {
  if (uid === 0 && mapsItself()) return undefined
  if (!idMapHelpers()) return 'newuidmap and newgidmap are not installed'
  return /^NoNewPrivs:\s*1$/m.test(ownStatus()) ? 'no_new_privs keeps newuidmap from its rights' : undefined
}

export function ownStatus(): string {
  try {
    return readFileSync('/proc/self/status', 'utf8')
  } catch {
    return ''
  }
}

/** Of the user namespace that we are in: what its ids are in the one above. */
export function ownIdMap(file: 'uid_map' | 'gid_map'): IdMapping[] {
  try {
    return parseIdMap(readFileSync(`/proc/self/${file}`, 'utf8'))
  } catch {
    return []
  }
}

/** Who we are; an account may have no name. */
export function account(): { username: string; uid: number; gid: number } {
  const ids = { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 }
  try {
    return { ...ids, username: userInfo().username }
  } catch {
    return { ...ids, username: '' }
  }
}

/** The set-id programs that write maps for ordinary users. */
export function idMapHelpers(): { uid: string; gid: string } | undefined {
  const places = ['/usr/bin', '/usr/sbin', '/bin', '/usr/local/bin', '/run/wrappers/bin']
  for (const place of places) {
    const [uid, gid] = ['newuidmap', 'newgidmap'].map((name) => path.join(place, name)) as [string, string]
    if (existsSync(uid) && existsSync(gid)) return { uid, gid }
  }
  return undefined
}

/** Whole numbers in range, nothing mapped twice; `option` names it in the error. */
export function checkIdMap(map: unknown, option: string): IdMapping[] {
  const wanted = 'a list of { containerID, hostID, size } that do not overlap'
  if (!Array.isArray(map) || map.length === 0 || map.length > LINES_MAX) throw invalidArgument(option, map, wanted)
  const id = (value: unknown) => Number.isInteger(value) && (value as number) >= 0 && (value as number) < ID_MAX
  for (const { containerID, hostID, size } of map as IdMapping[])
    if (
      !(id(containerID) && id(hostID) && Number.isInteger(size) && size >= 1) ||
      Math.max(containerID, hostID) + size > ID_MAX
    )
      throw invalidArgument(option, { containerID, hostID, size }, wanted)
  for (const side of ['containerID', 'hostID'] as const) {
    const sorted = [...(map as IdMapping[])].sort((a, b) => a[side] - b[side])
    for (let i = 1; i < sorted.length; i++) {
      const [before, here] = [sorted[i - 1] as IdMapping, sorted[i] as IdMapping]
      if (before[side] + before.size > here[side]) throw invalidArgument(option, map, wanted)
    }
  }
  return (map as IdMapping[]).map(({ containerID, hostID, size }) => ({ containerID, hostID, size }))
}

/** For the addon. An ordinary user writes a map of its own id alone directly; more goes through the helpers. */
export function nativeIdMaps({ uidMap, gidMap }: IdMapPair): NativeIdMaps {
  const maps: NativeIdMaps = { uid: idMapText(uidMap), gid: idMapText(gidMap) }
  if (privileged() || mapsItself()) return maps
  const alone = (map: readonly IdMapping[], own: number | undefined) =>
    map.length === 1 && map[0]?.size === 1 && map[0].hostID === own
  const helpers = idMapHelpers()
  if (!alone(uidMap, process.geteuid?.())) maps.uidHelper = helpers?.uid
  if (!alone(gidMap, process.getegid?.())) maps.gidHelper = helpers?.gid
  else maps.denySetgroups = true
  return maps
}

export function idMapText(map: readonly IdMapping[]): string {
  return map.map(({ containerID, hostID, size }) => `${containerID} ${hostID} ${size}\n`).join('')
}

/** The text of /proc/PID/uid_map. */
export function parseIdMap(text: string): IdMapping[] {
  return text
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/\s+/).map(Number))
    .filter((numbers) => numbers.length === 3 && numbers.every((id) => Number.isInteger(id) && id >= 0 && id <= ID_MAX))
    .map(([containerID = 0, hostID = 0, size = 0]) => ({ containerID, hostID, size }))
}

/** Whether there are more users and groups than one of each, so that files can have the owners that an image gives. */
export function hasOthers({ uidMap, gidMap }: IdMapPair): boolean {
  return [uidMap, gidMap].every((map) => map.reduce((sum, { size }) => sum + size, 0) > 1)
}

/** What an id inside is on the host; undefined when it is not mapped. */
export function hostId(map: readonly IdMapping[], id: number): number | undefined {
  const range = map.find(({ containerID, size }) => id >= containerID && id < containerID + size)
  return range && range.hostID + (id - range.containerID)
}

/** What an id of the host is inside; undefined when it is not mapped. */
export function containerId(map: readonly IdMapping[], id: number): number | undefined {
  const range = map.find(({ hostID, size }) => id >= hostID && id < hostID + size)
  return range && range.containerID + (id - range.hostID)
}
