/** /etc/subuid and /etc/subgid (subuid(5)): which ids are set aside for whom. The files may hold anything. */
import { readFileSync, statSync } from 'node:fs'

/** A line: `name:first:count`. */
export interface Grant {
  /** A user's name, or its number. */
  name: string
  first: number
  count: number
}

export interface User {
  /** Empty: the account has none, or nobody could be asked. */
  username: string
  uid: number
}

const ID_MAX = 0xffffffff
/** Bytes; larger ones are not read. */
const FILE_MAX = 16 * 1024 * 1024

/** Lines of another form are left out, and so are ranges that end above the last id, or hold the host's root. */
export function parseSubIds(text: string): Grant[] {
  return text
    .split('\n')
    .map((line) => /^([^#:\s][^:]*):(\d{1,10}):(\d{1,10})$/.exec(line.trim()))
    .filter((match) => match !== null)
    .map(([, name, first, count]) => ({ name: name as string, first: Number(first), count: Number(count) }))
    .filter(({ first, count }) => first > 0 && first + count <= ID_MAX)
}

export function readSubIds(file: string): Grant[] {
  try {
    return statSync(file).size > FILE_MAX ? [] : parseSubIds(readFileSync(file, 'utf8'))
  } catch {
    return []
  }
}

/** Whether a grant is this user's. A name of digits alone would be another's number. */
function isOf({ name }: Grant, { username, uid }: User): boolean {
  return name === String(uid) || (name === username && !/^\d+$/.test(username))
}

/** The ranges that a file grants to a user, by name or number. */
export function grantsOf(grants: readonly Grant[], user: User): Grant[] {
  return grants.filter((grant) => grant.count > 0 && isOf(grant, user))
}

const overlap = (a: Grant, b: Grant) => a.first < b.first + b.count && b.first < a.first + a.count

/**
 * Of those, the ranges that nobody else has any part of, and that do not hold `own`; of two that overlap the first.
 * Who shares ids with another user shares files and processes.
 */
export function ownGrants(grants: readonly Grant[], user: User, own: number): { usable: Grant[]; shared: Grant[] } {
  const others = grants.filter((grant) => grant.count > 0 && !isOf(grant, user))
  const usable: Grant[] = []
  const shared: Grant[] = []
  for (const grant of grantsOf(grants, user)) {
    if (others.some((other) => overlap(grant, other))) shared.push(grant)
    else if (!overlap(grant, { name: '', first: own, count: 1 }) && !usable.some((other) => overlap(grant, other)))
      usable.push(grant)
  }
  return { usable, shared }
}
