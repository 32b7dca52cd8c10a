/** Unpacks layers while they are pulled, without the snapshots of images. */
import { LayerSink } from '../../lib/layer/apply.js'
import type { LayerUnpacker } from '../../lib/registry/pull.js'
import { mine } from './apply.js'
import { scratch } from './tree.js'

/**
 * Each layer to a directory of its own.
 *
 * @param directories filled with them, by digest.
 * @param seen filled with what was done with each layer.
 */
export function unpackerTo(directories: Map<string, string>, seen: string[]): LayerUnpacker {
  return {
    async receive(layer) {
      const directory = scratch()
      directories.set(layer.digest, directory)
      const sink = new LayerSink({ directory, ...mine, expected: { digest: layer.digest } })
      return {
        write: (chunk) => sink.write(chunk),
        end: async () => {
          await sink.end()
          seen.push('received')
        },
        abort: () => sink.abort(),
      }
    },
    async stored() {
      seen.push('stored')
    },
  }
}
