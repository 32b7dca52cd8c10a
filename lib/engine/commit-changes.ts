/** The changes of a commit: lines of a Dockerfile that concern the configuration alone, on the image that was made. */
import type { Image } from '../image.js'
import type { Call } from './call.js'
import { badRequest } from './failure.js'

/** As docker; ADD, COPY and RUN would change files. */
const ALLOWED = ['CMD', 'ENTRYPOINT', 'ENV', 'EXPOSE', 'LABEL', 'ONBUILD', 'STOPSIGNAL', 'USER', 'VOLUME', 'WORKDIR']

/** The lines that are asked for; docker's client sends each in a parameter of its own. */
export function changesIn(call: Call): string[] {
  const lines = call.query.getAll('changes').flatMap((each) => each.split('\n'))
  const changes = lines.map((line) => line.trim()).filter((line) => line !== '')
  for (const line of changes) {
    const [word = ''] = line.split(/\s/, 1)
    if (!ALLOWED.includes(word.toUpperCase())) throw badRequest(`${word.slice(0, 100)} is not a change of a commit`)
  }
  return changes
}

/** Takes the place of `image`, which had no name. */
export async function changed(image: Image, changes: readonly string[], tag: string | undefined): Promise<Image> {
  const { build } = await import('../build/build.js')
  // A name that no line can have given to anything else.
  const text = ['FROM committed', ...changes].join('\n')
  const made = await build({
    dockerfile: { text },
    contexts: { committed: image },
    noCache: true,
    network: 'none',
    ...(tag === undefined ? {} : { tag }),
  })
  await image.remove()
  return made
}
