/** Containers that go on where another one is: what fork() does. */
import { type Committed, commitForFork, whileStill } from './commit.js'
import type { Container } from './container.js'
import { invalidArgument } from './errors.js'
import type { Image } from './image.js'
import type { CreateOptions } from './options.js'
import { checkAborted } from './util/abort.js'

const MOST = 1024

/** All of them, or none. `create`: Container.create(). */
export async function forkContainer(
  container: Container,
  committed: Committed,
  count: number,
  create: (image: Image, options: CreateOptions) => Promise<Container>,
  signal?: AbortSignal,
): Promise<Container[]> {
  if (!Number.isInteger(count) || count < 1 || count > MOST)
    throw invalidArgument('count', count, `an integer from 1 to ${MOST}`)
  const { image, hold, runs } = await whileStill(container, async (runs) => ({
    ...(await commitForFork(committed)),
    runs,
  }))
  const { options, command } = committed.parts
  const { name: _, ports, ...rest } = options
  const given = { ...rest, ...(ports ? { ports: ports.map(({ host: _, ...port }) => port) } : {}), command }
  const made: Container[] = []
  try {
    for (let i = 0; i < count; i++) {
      checkAborted(signal, 'fork')
      const copy = await create(image, given)
      made.push(copy)
      hold.take()
      copy.once('remove', () => void hold.release().catch((error) => process.emitWarning(error)))
      if (runs) await copy.start()
    }
    return made
  } catch (error) {
    await Promise.all(made.map((copy) => copy.remove({ force: true })))
    throw error
  } finally {
    await hold.release()
  }
}
