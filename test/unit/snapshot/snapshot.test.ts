import { existsSync, lstatSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import type { CaissonError } from '../../../lib/errors.js'
import { PulledLayers } from '../../../lib/snapshot/pulled.js'
import { type SnapshotForm, Snapshots, snapshotSweeper } from '../../../lib/snapshot/snapshots.js'
import { findStack } from '../../../lib/snapshot/stack.js'
import { type LayerToUnpack, unpackLayers } from '../../../lib/snapshot/unpack.js'
import { Unpacking } from '../../../lib/snapshot/unpacking.js'
import { chainIds } from '../../../lib/spec/chain-id.js'
import type { Descriptor } from '../../../lib/spec/descriptor.js'
import { MEDIA_TYPES } from '../../../lib/spec/media-types.js'
import { Store } from '../../../lib/store/store.js'
import { type Member, member } from '../../support/archive.js'
import { isRoot } from '../../support/needs.js'
import { digestOf } from '../../support/store-images.js'
import { removeScratch, scratch } from '../../support/tree.js'

afterEach(removeScratch)

const FORM: SnapshotForm = isRoot
  ? { name: 'root', owners: 'set', overlayXattrs: 'trusted' }
  : { name: 'user', owners: 'ignore', overlayXattrs: 'user' }

const uid = process.getuid?.() ?? 0
const gid = process.getgid?.() ?? 0
const archive = (...members: Member[]) =>
  Buffer.concat([...members.map((one) => member({ uid, gid, ...one })), Buffer.alloc(1024)])
const directory = (name: string): Member => ({ name: `${name}/`, type: '5', mode: 0o755 })
const file = (name: string, data = name): Member => ({ name, data })
const LOWER = archive(directory('etc'), file('etc/motd'), file('etc/issue'))
const UPPER = archive(directory('etc'), { name: 'etc/.wh.motd' }, file('etc/hosts'))
const LINKED = archive({ name: 'copy', type: '1', link: 'etc/issue' })

async function* chunks(bytes: Buffer): AsyncIterable<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 1000) yield bytes.subarray(at, at + 1000)
}

interface Counted extends LayerToUnpack {
  times: number
}
function layer(bytes: Buffer, diffId = digestOf(bytes)): Counted {
  const made: Counted = {
    diffId,
    times: 0,
    source: () => {
      made.times++
      return chunks(bytes)
    },
  }
  return made
}

async function setting(at = scratch()) {
  const store = await Store.open(at)
  const snapshots = await Snapshots.open(store.directory, FORM)
  const lease = await store.lease()
  const top = path.join(store.directory, 'snapshots', FORM.name)
  const names = () => readdirSync(top).filter((name) => name.includes('sha256'))
  const left = () => [...readdirSync(path.join(top, 'new')), ...readdirSync(path.join(top, 'locks'))]
  const collect = () => store.collect({ sweepers: [snapshotSweeper(store.directory)] })
  return { store, snapshots, lease, top, names, left, collect }
}

const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => 'none',
    (error: CaissonError) => error.code,
  )
const alone = (bytes: Buffer) => digestOf(bytes).replace(':', '-')
const chained = (...archives: Buffer[]) =>
  `chain-${chainIds(archives.map((bytes) => digestOf(bytes)))
    .at(-1)
    ?.replace(':', '-')}`

test('layers become directories for overlay, the topmost first, once', async () => {
  const { snapshots, lease, names, left, top } = await setting()
  const layers = [layer(LOWER), layer(UPPER)]
  const done: Array<[number, boolean]> = []
  const onDone = (index: number, unpacked: boolean) => done.push([index, unpacked])
  const { directories } = await unpackLayers(snapshots, layers, { lease, onDone })
  expect(directories).toEqual([path.join(top, alone(UPPER), 'fs'), path.join(top, alone(LOWER), 'fs')])
  expect(readFileSync(path.join(directories[0] as string, 'etc/hosts'), 'utf8')).toBe('etc/hosts')
  const whiteout = lstatSync(path.join(directories[0] as string, 'etc/motd'))
  expect([whiteout.isCharacterDevice() || whiteout.size === 0, whiteout.rdev]).toEqual([true, 0])
  const again = await unpackLayers(snapshots, layers, { lease, onDone })
  expect(again.directories).toEqual(directories)
  expect(
    await findStack(
      snapshots,
      layers.map(({ diffId }) => diffId),
      lease,
    ),
  ).toEqual(again)
  expect(layers.map(({ times }) => times)).toEqual([1, 1])
  expect(done.sort()).toEqual([
    [0, false],
    [0, true],
    [1, false],
    [1, true],
  ])
  expect([names().length, left()]).toEqual([2, []])
})

test('nobody else passes to the files of a layer (CVE-2021-41103)', async () => {
  const { snapshots, lease } = await setting()
  const setUid = archive({ name: 'su', data: '#!', mode: 0o4755 })
  const { directories } = await unpackLayers(snapshots, [layer(setUid)], { lease })
  const root = directories[0] as string
  expect(lstatSync(path.join(root, 'su')).mode & 0o7777).toBe(0o4755)
  expect(lstatSync(path.dirname(root)).mode & 0o077).toBe(0)
})

test('what takes from the layers below it belongs to that chain, other layers to all images', async () => {
  const { snapshots, lease, names } = await setting()
  const other = archive(directory('etc'), file('etc/issue', 'another'))
  const [one, two] = [layer(LINKED), layer(LINKED)]
  const first = await unpackLayers(snapshots, [layer(LOWER), layer(UPPER), one], { lease })
  expect(readFileSync(path.join(first.directories[0] as string, 'copy'), 'utf8')).toBe('etc/issue')
  const second = await unpackLayers(snapshots, [layer(other), layer(UPPER), two], { lease })
  expect(readFileSync(path.join(second.directories[0] as string, 'copy'), 'utf8')).toBe('another')
  expect(second.directories[1]).toBe(first.directories[1])
  expect([one.times, two.times]).toEqual([1, 1])
  expect(names().sort()).toEqual(
    [alone(LOWER), alone(UPPER), alone(other), chained(LOWER, UPPER, LINKED), chained(other, UPPER, LINKED)].sort(),
  )
})

test('a lowest layer that does not name its directories is no other layer', async () => {
  const { snapshots, lease } = await setting()
  const implicit = archive(file('etc/x'))
  const private_ = archive({ ...directory('etc'), mode: 0o700 })
  const lowest = await unpackLayers(snapshots, [layer(implicit)], { lease })
  const above = await unpackLayers(snapshots, [layer(private_), layer(implicit)], { lease })
  const modeOf = (at: string | undefined) => lstatSync(path.join(at as string, 'etc')).mode & 0o777
  expect([modeOf(lowest.directories[0]), modeOf(above.directories[0])]).toEqual([0o755, 0o700])
})

test('a layer that is there twice, and one that hides all below it', async () => {
  const { snapshots, lease } = await setting()
  const hides = archive({ name: '.wh..wh..opq' }, file('new'))
  const { directories } = await unpackLayers(snapshots, [layer(LOWER), layer(UPPER), layer(LOWER)], { lease })
  expect(directories.map((at) => path.basename(path.dirname(at)))).toEqual([alone(LOWER), alone(UPPER)])
  const hidden = await unpackLayers(snapshots, [layer(LOWER), layer(hides), layer(UPPER)], { lease })
  expect(hidden.directories.map((at) => path.basename(path.dirname(at)))).toEqual([alone(UPPER), alone(hides)])
})

test('what is not what was promised is never there, and stops the others', async () => {
  const { snapshots, lease, names, left } = await setting()
  let stopped = false
  async function* slow(signal: AbortSignal): AsyncIterable<Uint8Array> {
    yield LOWER.subarray(0, 512)
    await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
    stopped = true
    throw new Error('stopped')
  }
  const waiting: LayerToUnpack = { diffId: digestOf(LOWER), source: slow }
  const wrong = layer(UPPER, digestOf(LINKED))
  expect(await codeOf(unpackLayers(snapshots, [waiting, wrong], { lease }))).toBe('ERR_CAISSON_DIGEST')
  expect([stopped, names(), left()]).toEqual([true, [], []])
  const size = { ...layer(LOWER), size: 10, digest: digestOf(LOWER) }
  expect(await codeOf(unpackLayers(snapshots, [size], { lease }))).toBe('ERR_CAISSON_DIGEST')
  expect([names(), left()]).toEqual([[], []])
})

test('an abort ends it, and leaves nothing half made', async () => {
  const { snapshots, lease, names, left } = await setting()
  const abort = new AbortController()
  async function* endless(): AsyncIterable<Uint8Array> {
    yield LOWER.subarray(0, 512)
    abort.abort()
    await new Promise(() => {})
  }
  const layers = [layer(UPPER), { diffId: digestOf(LOWER), source: endless }]
  expect(await codeOf(unpackLayers(snapshots, layers, { lease, signal: abort.signal }))).toBe('ERR_CAISSON_ABORTED')
  expect(names().filter((name) => name !== alone(UPPER))).toEqual([])
  expect(left()).toEqual([])
})

test('two at once unpack each layer once', async () => {
  const at = scratch()
  const [one, two] = [await setting(at), await setting(at)]
  const layers = [layer(LOWER), layer(UPPER), layer(LINKED)]
  const stacks = await Promise.all(
    [one, two, one].map(({ snapshots, lease }) => unpackLayers(snapshots, layers, { lease })),
  )
  expect(stacks[1]).toEqual(stacks[0])
  expect(stacks[2]).toEqual(stacks[0])
  expect(layers.map(({ times }) => times)).toEqual([1, 1, 1])
  expect(one.left()).toEqual([])
})

test('layers in opposite orders do not wait for each other', async () => {
  const at = scratch()
  const [one, two] = [await setting(at), await setting(at)]
  const links = [archive({ name: 'a', type: '1', link: 'x' }), archive({ name: 'b', type: '1', link: 'x' })] as const
  const base = archive(file('x'))
  for (let round = 0; round < 5; round++) {
    const extra = archive(file(`round-${round}`))
    await Promise.all([
      unpackLayers(
        one.snapshots,
        [base, extra, links[0], links[1]].map((bytes) => layer(bytes)),
        { lease: one.lease },
      ),
      unpackLayers(
        two.snapshots,
        [base, extra, links[1], links[0]].map((bytes) => layer(bytes)),
        { lease: two.lease },
      ),
    ])
  }
})

test('collection leaves what an image or a lease holds', async () => {
  const { store, snapshots, lease, names, collect } = await setting()
  await unpackLayers(snapshots, [layer(LOWER), layer(UPPER), layer(LINKED)], { lease })
  await collect()
  expect(names()).toHaveLength(3)
  expect(await snapshots.usage()).toEqual({ count: 3, bytes: 'etc/motdetc/issueetc/hosts'.length })
  const second = await store.lease()
  await second.add({ snapshot: digestOf(UPPER) })
  await lease.release()
  expect((await collect()).snapshots).toBe(2)
  expect(names()).toEqual([alone(UPPER)])
  await second.release()
  await collect()
  expect(names()).toEqual([])
  const third = await store.lease()
  expect(await findStack(snapshots, [digestOf(UPPER)], third)).toBeUndefined()
  await third.release()
})

test('what a dead process was making is swept, and does not stand in the way', async () => {
  const { snapshots, lease, top, left, collect } = await setting()
  const half = path.join(top, 'new', alone(LOWER))
  const dead = await snapshots.begin(digestOf(LOWER))
  await dead.directory()
  writeFileSync(path.join(half, 'fs/half'), 'x')
  await collect()
  // Its lock is held.
  expect(existsSync(half)).toBe(true)
  await dead.end()
  await Snapshots.open(path.dirname(path.dirname(top)), FORM)
  const { directories } = await unpackLayers(snapshots, [layer(LOWER)], { lease })
  expect(readdirSync(directories[0] as string)).toEqual(['etc'])
  expect(left()).toEqual([])
})

test('what was not synced before the machine went down is unpacked again', async () => {
  const { snapshots, lease, top, store } = await setting()
  const linked = layer(LINKED)
  await unpackLayers(snapshots, [layer(LOWER), linked], { lease })
  const facts = path.join(top, chained(LOWER, LINKED), 'layer.json')
  writeFileSync(facts, JSON.stringify({ ...JSON.parse(readFileSync(facts, 'utf8')), boot: 'another' }))
  const later = await Snapshots.open(store.directory, FORM)
  await unpackLayers(later, [layer(LOWER), linked], { lease })
  expect(linked.times).toBe(2)
  writeFileSync(facts, 'damaged')
  await unpackLayers(await Snapshots.open(store.directory, FORM), [layer(LOWER), linked], { lease })
  expect(linked.times).toBe(3)
})

test('layers that come in pieces, in any order, while others are taken from the store', async () => {
  const { store, snapshots, lease, names, left } = await setting()
  // As a pull does: the second time that a layer is there nobody tells.
  const archives = [LOWER, UPPER, LINKED, UPPER]
  const layers = archives.map((bytes) => ({
    mediaType: MEDIA_TYPES.ociLayer,
    digest: digestOf(bytes),
    size: bytes.length,
  }))
  await store.write({ digest: digestOf(UPPER) }, UPPER, { lease })
  const image = { layers, diffIds: archives.map((bytes) => digestOf(bytes)) }
  const pulled = await PulledLayers.begin(snapshots, store, image, { lease })
  const [first, third] = await Promise.all([0, 2].map((index) => pulled.receive(layers[index] as Descriptor, index)))
  await third?.write(LINKED)
  await third?.end()
  await pulled.stored(layers[1] as Descriptor, 1)
  // It is put into place in the background; the one with a link to the lowest layer waits for that.
  while (names().length === 0) await new Promise((resolve) => setTimeout(resolve, 1))
  expect(names()).toEqual([alone(UPPER)])
  for await (const chunk of chunks(LOWER)) await first?.write(chunk)
  await first?.end()
  const stack = await pulled.finish()
  expect(stack.directories).toHaveLength(3)
  expect(readFileSync(path.join(stack.directories[1] as string, 'copy'), 'utf8')).toBe('etc/issue')
  expect(await findStack(snapshots, image.diffIds, lease)).toEqual(stack)
  expect(left()).toEqual([])
  expect(await pulled.receive(layers[0] as Descriptor, 0)).toBeUndefined()
})

test('what fails first is what all others fail for', async () => {
  const { snapshots, lease, top, left } = await setting()
  const archives = [LOWER, UPPER, LINKED]
  const unpacking = await Unpacking.begin(
    snapshots,
    archives.map((bytes) => digestOf(bytes)),
    { lease },
  )
  const stopped = new Promise((resolve) => unpacking.signal.addEventListener('abort', resolve, { once: true }))
  const [first, second, third] = await Promise.all([0, 1, 2].map((index) => unpacking.receive(index)))
  await first?.write(LOWER.subarray(0, 600))
  await third?.write(LINKED.subarray(0, 600))
  // In the place of what nobody waits for: it is put there in the background.
  writeFileSync(path.join(top, alone(UPPER)), '')
  await second?.write(UPPER)
  await second?.end()
  await stopped
  const reason = { code: 'ERR_CAISSON_STORE', cause: { code: 'ENOTDIR', syscall: 'rename' } }
  await expect(first?.write(LOWER.subarray(600))).rejects.toMatchObject(reason)
  await expect(third?.end()).rejects.toMatchObject(reason)
  await first?.abort()
  await expect(unpacking.finish()).rejects.toMatchObject(reason)
  expect(left()).toEqual([])
})

test('a pull that fails leaves what is whole, and nothing else', async () => {
  const { store, snapshots, lease, names, left } = await setting()
  const archives = [LOWER, UPPER]
  const layers = archives.map((bytes) => ({
    mediaType: MEDIA_TYPES.ociLayer,
    digest: digestOf(bytes),
    size: bytes.length,
  }))
  const image = { layers, diffIds: archives.map((bytes) => digestOf(bytes)) }
  const pulled = await PulledLayers.begin(snapshots, store, image, { lease })
  const [first, second] = await Promise.all([0, 1].map((index) => pulled.receive(layers[index] as Descriptor, index)))
  await first?.write(LOWER.subarray(0, 600))
  await second?.write(UPPER)
  await second?.end()
  await first?.abort()
  await pulled.stop()
  expect([names(), left()]).toEqual([[alone(UPPER)], []])
  // While another unpacks it, it is not waited for: it is taken from the store afterwards.
  const busy = await snapshots.begin(digestOf(LOWER))
  const again = await PulledLayers.begin(snapshots, store, image, { lease })
  expect(await again.receive(layers[0] as Descriptor, 0)).toBeUndefined()
  await busy.end()
  // Not in the store: then that is what is said.
  await again
    .stored(layers[0] as Descriptor, 0)
    .catch((error) => expect(error).toMatchObject({ cause: { code: 'ENOENT' } }))
  expect(await codeOf(again.finish())).not.toBe('none')
  expect([names(), left()]).toEqual([[alone(UPPER)], []])
})
