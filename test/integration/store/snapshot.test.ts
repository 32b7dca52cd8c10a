/** Unpacked layers among processes that die, and on disks that are full. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { mkdirSync, readdirSync } from 'node:fs'
import path from 'node:path'
import { Snapshots, snapshotSweeper } from '../../../lib/snapshot/snapshots.js'
import { unpackLayers } from '../../../lib/snapshot/unpack.js'
import { verifySnapshots } from '../../../lib/snapshot/verify.js'
import { Store } from '../../../lib/store/store.js'
import { bundleProgram } from '../../support/bundle.js'
import { isRoot } from '../../support/needs.js'
import { FORM, layerOf, loadedArchives } from '../../support/snapshot-layers.js'
import { look, removeScratch, scratch } from '../../support/tree.js'

const children: ChildProcess[] = []

afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
  removeScratch()
})

/** What each layer looks like when nobody disturbs it, by its name. */
async function undisturbed(): Promise<Map<string, unknown>> {
  const store = await Store.open(scratch())
  const snapshots = await Snapshots.open(store.directory, FORM)
  const lease = await store.lease()
  const [lowest, ...upper] = loadedArchives() as [Buffer, ...Buffer[]]
  for (let round = 0; round < upper.length; round++) {
    const turned = upper.map((_, at) => upper[(at + round) % upper.length] as Buffer)
    await unpackLayers(
      snapshots,
      [lowest, ...turned].map((bytes) => layerOf(bytes)),
      { lease },
    )
  }
  return looks(store)
}

function looks(store: Store): Map<string, unknown> {
  const top = path.join(store.directory, 'snapshots', FORM.name)
  const names = readdirSync(top).filter((name) => name.includes('sha256'))
  return new Map(names.map((name) => [name, look(path.join(top, name, 'fs'))]))
}

test('killed at any instant, each layer that is there is whole, and the rest is swept', async () => {
  const expected = await undisturbed()
  const script = bundleProgram('snapshot-load')
  const store = await Store.open(scratch())
  for (let round = 0; round < 15; round++) {
    const pair = [round, round + 1].map((seed) => {
      const child = spawn(process.execPath, [script, store.directory, String(seed)], {
        stdio: ['ignore', 'pipe', 'inherit'],
      })
      children.push(child)
      return child
    })
    await Promise.all(pair.map((child) => new Promise((resolve) => child.stdout?.once('data', resolve))))
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 60))
    const gone = pair.map((child) => new Promise((resolve) => child.once('exit', (_, signal) => resolve(signal))))
    for (const child of pair) child.kill('SIGKILL')
    expect(await Promise.all(gone)).toEqual(['SIGKILL', 'SIGKILL'])
    for (const [name, found] of looks(store)) expect([name, found]).toEqual([name, expected.get(name)])
    expect(await verifySnapshots(store.directory)).toEqual([])
  }
  await store.collect({ sweepers: [snapshotSweeper(store.directory)] })
  const top = path.join(store.directory, 'snapshots', FORM.name)
  expect([
    looks(store).size,
    readdirSync(path.join(top, 'new')),
    readdirSync(path.join(store.directory, 'store/trash')),
  ]).toEqual([0, [], []])
}, 60_000)

test('a full disk at any point is an error that says so, and no layer is half there', () => {
  const script = bundleProgram('snapshot-full')
  const place = path.join(scratch(), 'disk')
  mkdirSync(place)
  const seen = new Set<string>()
  for (let pages = 4; pages < 400; pages = Math.ceil(pages * 1.25)) {
    const shell = `mount -t tmpfs -o size=${pages * 4}k tmpfs "$1" && exec "$2" "$3" "$1"`
    const args = [isRoot ? '-m' : '-rm', 'sh', '-c', shell, 'sh', place, process.execPath, script]
    const { code, hint, layers, left, problems } = JSON.parse(execFileSync('unshare', args, { encoding: 'utf8' }))
    seen.add(code)
    expect([problems, left]).toEqual([[], []])
    if (code === 'unpacked') expect(layers).toBe(4)
    else expect([code, hint]).toEqual(['ERR_CAISSON_RESOURCE_EXHAUSTED', expect.stringMatching(/disk is full/)])
  }
  expect([...seen].sort()).toEqual(['ERR_CAISSON_RESOURCE_EXHAUSTED', 'unpacked'])
}, 60_000)
