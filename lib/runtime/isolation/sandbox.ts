/**
 * What a program is run in where there are no namespaces: programs of the host, a directory of its own to write to, and
 * rules of Landlock and seccomp that keep it there.
 */
import { randomBytes } from 'node:crypto'
import { chown, mkdir } from 'node:fs/promises'
import path from 'node:path'
import { CaissonError } from '../../errors.js'
import { removeTree } from '../../layer/tree.js'
import { hasCapability } from '../../util/privileged.js'
import type { Owner } from '../process/owner.js'
import { account, hostId, ownIdMap, ownStatus } from '../user/id-maps.js'
import { takeIdRange } from '../user/id-ranges.js'

export interface Sandbox {
  /** Where it begins, and all that it may write to. */
  directory: string
  uid: number
  gid: number
  /** These are nobody else's; otherwise they are the owner's. */
  ownUser: boolean
  /** Version of Landlock's interface. */
  landlock: number
  /** When its programs have ended. */
  close(): Promise<void>
}

/** CHOWN, DAC_OVERRIDE, FOWNER, KILL, SETGID, SETUID: to make a program another user, and to end and clear it away. */
const TO_BE_OTHERS = [0n, 1n, 3n, 5n, 6n, 7n]

export async function makeSandbox({ data, isolation }: Owner): Promise<Sandbox> {
  const directory = path.join(data, 'sandboxes', randomBytes(8).toString('hex'))
  await mkdir(path.dirname(directory), { recursive: true, mode: 0o711 })
  await mkdir(directory, { mode: 0o700 })
  const user = await takeUser()
  if (user) await chown(directory, user.id, user.id)
  const { uid, gid } = account()
  return {
    directory,
    uid: user?.id ?? uid,
    gid: user?.id ?? gid,
    ownUser: user !== undefined,
    landlock: isolation.landlock,
    async close() {
      await removeTree(directory)
      user?.release()
    },
  }
}

/** An id that no other program of this machine has, where we may become others. */
async function takeUser(): Promise<{ id: number; release(): void } | undefined> {
  const status = ownStatus()
  if (!TO_BE_OTHERS.every((capability) => hasCapability(status, capability))) return undefined
  const { maps, release } = await takeIdRange()
  const id = maps.uidMap[0]?.hostID as number
  if (hostId(ownIdMap('uid_map'), id) !== undefined && hostId(ownIdMap('gid_map'), id) !== undefined)
    return { id, release }
  release()
  return undefined
}

/** For what only namespaces or mounts could give. */
export function notInSandbox(
  what: string,
  hint = 'Leave it out, or have namespaces allowed: see "caisson doctor".',
): CaissonError {
  return new CaissonError('ERR_CAISSON_UNSUPPORTED', `${what}: not without namespaces, in Landlock alone`, {
    stage: 'isolation',
    hint,
  })
}
