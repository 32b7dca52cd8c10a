/** Which container somebody means. */
import { CaissonError, invalidArgument } from '../../errors.js'
import { readStates } from './registry.js'

interface Named {
  readonly id: string
  readonly name: string
}

/** So short a beginning of an id would be taken for a name that was mistyped. */
const SHORTEST_PREFIX = 4

/** By id, name, or the beginning of an id that only one has. */
export async function findContainer<T extends Named>(among: ReadonlyMap<string, T>, idOrName: string): Promise<T> {
  if (typeof idOrName !== 'string' || idOrName === '')
    throw invalidArgument('container', idOrName, 'an id, the beginning of one, or a name')
  const all = [...among.values()]
  const exact = among.get(idOrName) ?? all.find(({ name }) => name === idOrName)
  if (exact) return exact
  const byPrefix = idOrName.length >= SHORTEST_PREFIX ? all.filter(({ id }) => id.startsWith(idOrName)) : []
  if (byPrefix.length === 1) return byPrefix[0] as T
  throw await notFound(idOrName, byPrefix.length)
}

async function notFound(idOrName: string, candidates: number): Promise<CaissonError> {
  const elsewhere = (await readStates()).find((info) => info.name === idOrName || info.id === idOrName)
  const hint = elsewhere
    ? `It belongs to process ${elsewhere.owner}; only that one can work with it.`
    : candidates > 1
      ? 'More than one id begins so; give more of it.'
      : 'See Container.list().'
  return new CaissonError(
    'ERR_CAISSON_CONTAINER_NOT_FOUND',
    `there is no container ${JSON.stringify(idOrName)} in this process`,
    { stage: 'container', hint },
  )
}
