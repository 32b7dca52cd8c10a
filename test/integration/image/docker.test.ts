/** Docker's daemon as a peer: it reads what we saved and pushed, and we what it saves and pushes. */
import { execFileSync } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import path from 'node:path'
import { Image, run } from '../../../lib/index.js'
import { imageRoots } from '../../../lib/runtime/image/roots.js'
import { busyboxImage, noBusybox, tar } from '../../support/busybox-image.js'
import { type DockerRegistry, noRegistry, startRegistry } from '../../support/docker-registry.js'
import { type Dockerd, noDocker, startDockerd } from '../../support/dockerd.js'
import { testIf } from '../../support/needs.js'
import { storeImage } from '../../support/store-images.js'
import { look, removeScratch, scratch } from '../../support/tree.js'

const root = scratch()
process.env.CAISSON_ROOT = path.join(root, 'caisson')
const missing = noBusybox || noRegistry || noDocker
const withDocker = testIf(missing)

let registry: DockerRegistry
let dockerd: Dockerd
const name = (tag: string) => `${registry.host}/team/box:${tag}`

beforeAll(async () => {
  if (missing) return
  registry = await startRegistry()
  dockerd = await startDockerd(path.join(root, 'docker'))
})
afterEach(async () => {
  for (const image of await Image.list()) await image.remove({ force: true })
})
afterAll(async () => {
  await dockerd?.[Symbol.asyncDispose]()
  await registry?.[Symbol.asyncDispose]()
  removeScratch()
})

/** Three layers, of which the topmost deletes something of the lowest. */
async function stored(reference: string): Promise<Image> {
  const middle = tar({ name: 'greeting', data: 'hello from the middle' })
  const upper = tar({ name: 'etc/.wh.group', data: '' }, { name: 'bin/hello', type: '1', link: 'greeting' })
  const config = { Env: ['FROM=caisson'], Cmd: ['cat', '/greeting'], Labels: { kind: 'test' } }
  await storeImage((await imageRoots()).store, busyboxImage(config, middle, upper), reference)
  return Image.get(reference)
}

/** What a container of docker's would have, as it exports it. */
async function rootOf(reference: string): Promise<Record<string, string>> {
  const id = (await dockerd.docker('create', reference)).trim()
  const [file, at] = [path.join(root, `${id}.tar`), path.join(root, id)]
  await dockerd.docker('export', '-o', file, id)
  await dockerd.docker('rm', id)
  mkdirSync(at)
  execFileSync('tar', ['-xf', file, '-C', at])
  return look(at)
}

async function inDocker(reference: string) {
  const [found] = JSON.parse(await dockerd.docker('image', 'inspect', reference))
  await dockerd.docker('rmi', '-f', reference)
  return found
}

// Before version 25 it reads no archive that is an OCI layout alone.
withDocker('docker loads an archive of its form', async () => {
  const image = await stored('docker.io/team/box:saved')
  const file = path.join(root, 'saved.tar')
  await image.save(file, { format: 'docker' })
  await dockerd.docker('load', '-i', file)
  const tree = await rootOf('team/box:saved')
  expect(Object.keys(tree)).toEqual(expect.arrayContaining(['bin/busybox', 'greeting', 'bin/hello', 'etc/passwd']))
  expect(tree).not.toHaveProperty('etc/group')
  const found = await inDocker('team/box:saved')
  expect([found.Id, found.RepoTags, found.Config.Env]).toEqual([image.id, ['team/box:saved'], ['FROM=caisson']])
  expect(found.RootFS.Layers).toEqual(image.layers.map(({ diffId }) => diffId))
})

withDocker('docker pulls what we pushed, by tag and by digest', async () => {
  const image = await stored(name('ours'))
  await image.push()
  await dockerd.docker('pull', '-q', name('ours'))
  const digest = `${registry.host}/team/box@${image.digest}`
  await dockerd.docker('pull', '-q', digest)
  const found = await inDocker(name('ours'))
  expect([found.Id, found.RepoDigests, found.Config.Labels]).toEqual([image.id, [digest], { kind: 'test' }])
})

withDocker('what docker saves is loaded, and what it pushes is pulled, with the same content', async () => {
  const image = await stored(name('there'))
  await image.push()
  await dockerd.docker('pull', '-q', name('there'))
  const file = path.join(root, 'from-docker.tar')
  await dockerd.docker('save', '-o', file, name('there'))
  await dockerd.docker('tag', name('there'), name('back'))
  await dockerd.docker('push', '-q', name('back'))
  await inDocker(name('there'))
  await image.remove({ force: true })

  const loaded = await Image.load(file)
  expect([loaded.id, loaded.tags]).toEqual([image.id, [name('there')]])
  expect((await run(loaded)).stdout).toBe('hello from the middle')
  await loaded.remove({ force: true })
  const pulled = await Image.pull(name('back'))
  expect(pulled.id).toBe(image.id)
  expect((await run(pulled, ['sh', '-c', 'cat /bin/hello; ls /etc/group /etc/passwd; echo $FROM'])).stdout).toBe(
    'hello from the middle/etc/passwd\ncaisson\n',
  )
})

withDocker('what docker commits keeps what it deleted and changed', async () => {
  const image = await stored(name('base'))
  await image.push()
  await dockerd.docker('pull', '-q', name('base'))
  const id = (await dockerd.docker('create', name('base'))).trim()
  execFileSync('sh', ['-c', `echo changed > ${root}/greeting`])
  await dockerd.docker('cp', `${root}/greeting`, `${id}:/greeting`)
  await dockerd.docker('commit', '-c', 'CMD ["cat", "/greeting"]', id, name('committed'))
  await dockerd.docker('push', '-q', name('committed'))
  await dockerd.docker('rm', id)
  const committed = await Image.pull(name('committed'))
  expect(committed.layers).toHaveLength(4)
  expect((await run(committed)).stdout).toBe('changed\n')
  expect((await committed.history()).length).toBeGreaterThan(0)
})
