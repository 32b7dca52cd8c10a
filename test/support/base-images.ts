/** The base images that the table of configurations was made with. */
import type { BaseImage } from '../../lib/build/dockerfile/plan-types.js'
import type { ImageConfig } from '../../lib/spec/image.js'
import { casesDocument } from './cases.js'

interface Entry {
  architecture: string
  os: string
  config: ImageConfig
  history: string[]
}

/** By a complete name, as docker.io/library/base-env:latest; of a name that is not listed, the plain one. */
export function baseImages(name: string): BaseImage {
  const bases = casesDocument('dockerfile-config').find(({ name: set }) => set === 'embedded') as unknown as {
    bases: Record<string, Entry>
  }
  const short = name.replace(/^docker\.io\/library\//, '').replace(/:latest$/, '')
  const { history, ...image } = structuredClone(bases.bases[short] ?? (bases.bases['*'] as Entry))
  return {
    ...image,
    digest: `sha256:${'0'.repeat(64)}`,
    history: history.map((text) => ({ created_by: text })),
  }
}
