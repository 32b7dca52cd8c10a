/** Containers of the host's programs that only wait, for tests that look at their files. */
import { Container, type CreateOptions } from '../../lib/index.js'
import { hostImage } from './attack.js'

export async function sleeper(options: CreateOptions = {}): Promise<Container> {
  return Container.create(await hostImage(), { command: ['sleep', '1000'], ...options })
}

/** A running container with its files in memory, a running one and a stopped one with theirs on disk. */
export const STATES: Array<[name: string, storage: 'memory' | 'disk', running: boolean]> = [
  ['running, in memory', 'memory', true],
  ['running, on disk', 'disk', true],
  ['stopped', 'disk', false],
]
