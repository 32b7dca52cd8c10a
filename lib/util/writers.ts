/**
 * Who may write to a directory, or put another one in its place. What lies below CAISSON_ROOT is run, mounted and removed
 * by this user: whoever may change it can do all that this user may.
 */
import { lstatSync, readFileSync, realpathSync, type Stats } from 'node:fs'
import path from 'node:path'
import { CaissonError } from '../errors.js'

const [GROUP, OTHERS, STICKY] = [0o020, 0o002, 0o1000]
/** What the kernel shows for users that a user namespace does not know (user_namespaces(7)). */
const OVERFLOW_ID = 65534

/**
 * Looks at the directory and at all that it lies in, as it is written and where links lead. `what`: what it is for.
 * @throws CaissonError ERR_CAISSON_PERMISSION when somebody else than this user and root may write there.
 */
export function checkWriters(directory: string, what: string): void {
  for (const at of new Set([...waysTo(directory), ...waysTo(real(directory))])) {
    const status = look(at)
    const why = status && strangers(status, at === directory)
    if (why !== undefined)
      throw new CaissonError('ERR_CAISSON_PERMISSION', `${directory}, for ${what}: ${at} ${why}`, {
        stage: 'start',
        hint: 'Let nobody else write there (chown, chmod go-w), or set CAISSON_ROOT to a directory of this user.',
      })
  }
}

/** It and all above it. */
function waysTo(directory: string): string[] {
  const above = path.dirname(directory)
  return above === directory ? [directory] : [directory, ...waysTo(above)]
}

/** Of one that is not there yet, what there is of it. */
function real(directory: string): string {
  try {
    return realpathSync(directory)
  } catch {
    const above = path.dirname(directory)
    return above === directory ? directory : real(above)
  }
}

/** undefined: it is not there, or we may not know; then nothing is made there either. */
function look(at: string): Stats | undefined {
  try {
    return lstatSync(at)
  } catch {
    return undefined
  }
}

function strangers(status: Stats, itself: boolean): string | undefined {
  const { uid, gid, mode } = status
  const me = process.geteuid?.() ?? 0
  if (uid !== 0 && uid !== me && !(uid === OVERFLOW_ID && hidesUsers())) return `belongs to user ${uid}`
  if (status.isSymbolicLink()) return undefined
  // Where the sticky bit is set, nobody removes or renames what is another's.
  if ((mode & STICKY) !== 0 && !itself) return undefined
  if ((mode & OTHERS) !== 0) return 'may be written to by everybody'
  // Groups of ordinary users are often theirs alone.
  if ((mode & GROUP) !== 0 && gid !== 0 && me === 0) return `may be written to by group ${gid}`
  return undefined
}

/** In a user namespace that knows some: the host's root, too, is nobody there. */
function hidesUsers(): boolean {
  try {
    return !/^\s*0\s+0\s+4294967295\s*$/.test(readFileSync('/proc/self/uid_map', 'utf8'))
  } catch {
    return false
  }
}
