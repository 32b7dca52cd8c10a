/** Names of images, completed as Docker completes them: `debian` is `docker.io/library/debian:latest`. */
import { formatReference } from '../../reference/format.js'
import { parseReference } from '../../reference/parse.js'
import { fault } from './source.js'
import { quote } from './text.js'

/** @throws CaissonError ERR_CAISSON_DOCKERFILE */
export function completeImageName(name: string): string {
  try {
    return formatReference(parseReference(name))
  } catch {
    throw fault(
      `failed to parse stage name ${quote(name)}: invalid reference format`,
      'A name is [host/]path[:tag][@digest], with the path in lower case.',
    )
  }
}

export function isImageName(name: string): boolean {
  try {
    parseReference(name)
    return true
  } catch {
    return false
  }
}
