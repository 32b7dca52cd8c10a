/**
 * The top of an image over all its layers, for whoever puts them together by other means than one overlay: overlay takes
 * no notice of marks on the directories that it is given as layers, so what they hide has to be left out here.
 */
import { constants } from 'node:fs'
import { lstat, open, readdir, readlink } from 'node:fs/promises'
import { constants as system } from 'node:os'
import path from 'node:path'
import { addon, type NativeFailure } from '../../native/addon.js'
import { errorFromFailure } from '../../native/failure.js'
import type { ImageRoot } from '../options/assemble.js'

/** `lower`: the topmost first. */
export type TopEntry = { kind: 'directory'; lower: string[] } | { kind: 'link'; target: string }

/** By name. Single files are left out. */
export type ImageTop = Map<string, TopEntry>

/** Where overlay's marks are in the layers. */
type Marks = 'trusted' | 'user'

const tops = new WeakMap<ImageRoot, Promise<ImageTop>>()

/** Looked at once. */
export function topOf(image: ImageRoot, marks: Marks): Promise<ImageTop> {
  let top = tops.get(image)
  if (!top) {
    top = readTop(image.lower, marks)
    tops.set(image, top)
    top.catch(() => tops.delete(image))
  }
  return top
}

async function readTop(layers: readonly string[], marks: Marks): Promise<ImageTop> {
  const top: ImageTop = new Map()
  const covered = new Set<string>()
  for (const [index, layer] of layers.entries())
    for (const name of await readdir(layer)) {
      const known = top.get(name)
      if (covered.has(name) || known?.kind === 'link') continue
      const at = path.join(layer, name)
      const status = await lstat(at)
      if (status.isDirectory()) {
        if (known?.kind === 'directory') known.lower.push(at)
        else top.set(name, { kind: 'directory', lower: [at] })
        if (index < layers.length - 1 && (await isOpaque(at, marks))) covered.add(name)
      } else if (known === undefined && status.isSymbolicLink())
        top.set(name, { kind: 'link', target: await readlink(at) })
      else covered.add(name) // a whiteout or a file hides what is below it
    }
  return top
}

/** What an ordinary user may not look into is taken for opaque: that shows too little, and not too much. */
async function isOpaque(directory: string, marks: Marks): Promise<boolean> {
  try {
    return (await addon().opaque(directory, marks)) === 1
  } catch (failure) {
    if ((failure as NativeFailure).errno === system.errno.EACCES) return true
    throw errorFromFailure(failure as NativeFailure)
  }
}

const FILE_LIMIT = 1024 * 1024

/** A small file directly in a top directory, such as `etc/passwd`; empty: none that is there, or behind a link. */
export async function readAtTop(top: ImageTop, file: string): Promise<string> {
  const entry = top.get(path.dirname(file))
  if (entry?.kind !== 'directory') return ''
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants
  for (const directory of entry.lower) {
    const at = path.join(directory, path.basename(file))
    const status = await lstat(at).catch(() => undefined)
    if (!status) continue
    if (!status.isFile() || status.size > FILE_LIMIT) return ''
    const handle = await open(at, O_RDONLY | O_NOFOLLOW | O_NONBLOCK).catch(() => undefined)
    if (!handle) return ''
    try {
      return await handle.readFile('utf8')
    } finally {
      await handle.close()
    }
  }
  return ''
}
