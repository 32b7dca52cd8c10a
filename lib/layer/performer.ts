/** Who does the work on layers: the addon in this process, or what an ordinary user has in its place. */
import { addon } from '../native/addon.js'
import type { NativeLayer } from '../native/layer.js'

let elsewhere: NativeLayer | undefined

export function layers(): NativeLayer {
  return elsewhere ?? addon().layer
}

/** From now on `performer` does it: a process inside the user namespace that the owners of files are those of. */
export function performElsewhere(performer: NativeLayer): void {
  elsewhere = performer
}
