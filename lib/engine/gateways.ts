/** The networks of this machine by name, for what is told of containers on them. */
import { Network } from '../network.js'
import type { Gateway } from './container-json.js'

export async function gatewaysOf(): Promise<ReadonlyMap<string, Gateway>> {
  return new Map((await Network.list()).map(({ name, definition }) => [name, definition]))
}
