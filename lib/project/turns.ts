/** The order in which containers of a project end and begin: by which service needs which. */
import { awake } from '../util/awake.js'
import type { Replica } from './running.js'

type Work = (replica: Replica) => Promise<void>

/** Each when nothing that needs it is left to be done. All are tried, and the first error is given. */
export function dependentsFirst(replicas: readonly Replica[], work: Work): Promise<void> {
  return inTurn(replicas, ({ service }) => replicas.filter(({ needs }) => Object.hasOwn(needs, service)), work)
}

/** Each when all that it needs of these is done. */
export function dependenciesFirst(replicas: readonly Replica[], work: Work): Promise<void> {
  return inTurn(replicas, ({ needs }) => replicas.filter(({ service }) => Object.hasOwn(needs, service)), work)
}

/** @param before what has its turn before a container; where they name each other, the circle is cut. */
async function inTurn(
  replicas: readonly Replica[],
  before: (replica: Replica) => readonly Replica[],
  work: Work,
): Promise<void> {
  const begun = new Map<Replica, Promise<void>>()
  const begin = (replica: Replica, chain: readonly Replica[]): Promise<void> => {
    const known = begun.get(replica)
    if (known) return known
    const others = before(replica).filter((each) => !chain.includes(each))
    const done = Promise.allSettled(others.map((each) => begin(each, [...chain, replica]))).then(() => work(replica))
    begun.set(replica, done)
    return done
  }
  await allOf(replicas.map((replica) => begin(replica, [])))
}

/** All are tried, and the first error is given. */
export async function allOf(works: ReadonlyArray<Promise<unknown>>): Promise<void> {
  const results = await awake(Promise.allSettled(works))
  const failed = results.find((result) => result.status === 'rejected')
  if (failed) throw failed.reason
}
