/** Builds in tests: a base image with busybox, contexts on disk, and what the builder told. */
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { type BuildEvent, type BuildOptions, type CaissonError, Image, run } from '../../lib/index.js'
import { removeTree } from '../../lib/layer/tree.js'
import { imageRoots } from '../../lib/runtime/image/roots.js'
import { busyboxLayer, folder, noBusybox, tar } from './busybox-image.js'
import { makeImage, storeImage } from './store-images.js'
import { removeScratch, scratch } from './tree.js'

const MORE = ['ln', 'cp', 'mv', 'wc', 'grep', 'chmod', 'find', 'sort', 'date', 'kill', 'yes', 'head', 'dd', 'tr', 'sed']

/** `box:1`: busybox, two users, and a link /sbin to /bin as in distributions. */
export async function storeBox(): Promise<void> {
  const links = MORE.map((name) => ({ name: `bin/${name}`, type: '2', link: 'busybox' }))
  const layer = tar(folder('tmp'), ...links, { name: 'sbin', type: '2', link: 'bin' })
  await storeImage(
    (await imageRoots()).store,
    makeImage([busyboxLayer(), layer], { Cmd: ['/bin/sh'] }),
    'docker.io/library/box:1',
  )
}

/** For the tests of a file: a store of their own, with `box:1` where there is a busybox. */
export function boxForTests(): void {
  process.env.CAISSON_ROOT = scratch()
  beforeAll(async () => {
    if (!noBusybox) await storeBox()
  })
  afterAll(removeBuilds)
}

/** A directory with these files; a name that ends in a slash is a directory. */
export function contextOf(files: Record<string, string>): string {
  const directory = scratch()
  for (const [name, content] of Object.entries(files)) {
    const at = path.join(directory, name)
    mkdirSync(name.endsWith('/') ? at : path.dirname(at), { recursive: true })
    if (!name.endsWith('/')) writeFileSync(at, content)
  }
  return directory
}

export interface Built {
  image: Image
  events: BuildEvent[]
  /** What the steps did, as `title: cached`. */
  steps: string[]
  output: string
}

/** Without a network, unless the options say otherwise: others of this machine may have the same subnet. */
export async function build(text: string, options: BuildOptions = {}): Promise<Built> {
  const events: BuildEvent[] = []
  const dockerfile = {
    text: text.startsWith('FROM') || text.startsWith('#') || text.startsWith('ARG') ? text : `FROM box:1\n${text}`,
  }
  const image = await Image.build({
    dockerfile,
    network: 'none',
    ...options,
    onProgress: (event) => events.push(event),
  })
  const steps = events.flatMap((event) =>
    event.type === 'step' && event.status !== 'started' ? [`${event.title}: ${event.status}`] : [],
  )
  const output = Buffer.concat(events.flatMap((event) => (event.type === 'output' ? [event.data] : []))).toString()
  return { image, events, steps, output }
}

/** What a shell says in a container of it. */
export async function inside(image: Image, script: string): Promise<string> {
  const { stdout, stderr } = await run(image, ['/bin/sh', '-c', script])
  return stdout + stderr
}

/** The error of a build that must fail. */
export async function failure(work: Promise<unknown>): Promise<CaissonError> {
  return work.then(
    () => {
      throw new Error('it was built')
    },
    (error) => error,
  )
}

/** For afterAll: an ordinary user's stages have files of users that only exist inside. */
export async function removeBuilds(): Promise<void> {
  for (const name of ['snapshots', 'cache-mounts'])
    await removeTree(path.join(process.env.CAISSON_ROOT as string, name))
  removeScratch()
}
