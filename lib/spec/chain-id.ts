/** Chain ids: what a stack of layers shows (image-spec config.md, "Layer ChainID"). */
import { createHash } from 'node:crypto'

/** Of each layer with all below it, the lowest first. */
export function chainIds(diffIds: readonly string[]): string[] {
  const chain: string[] = []
  for (const diffId of diffIds) {
    const below = chain.at(-1)
    chain.push(
      below === undefined ? diffId : `sha256:${createHash('sha256').update(`${below} ${diffId}`).digest('hex')}`,
    )
  }
  return chain
}
