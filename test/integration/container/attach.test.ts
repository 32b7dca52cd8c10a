/** attach(): the streams of a kept container's program, for as many as want them. */
import { text } from 'node:stream/consumers'
import { Container, Wait } from '../../../lib/index.js'
import { imageRoots } from '../../../lib/runtime/image/roots.js'
import { busyboxImage, noBusybox } from '../../support/busybox-image.js'
import { testIf } from '../../support/needs.js'
import { storeImage } from '../../support/store-images.js'
import { removeScratch, scratch } from '../../support/tree.js'

process.env.CAISSON_ROOT = scratch()
const withBox = testIf(noBusybox)
const BOX = 'localhost/box:1'

beforeAll(async () => {
  if (!noBusybox) await storeImage((await imageRoots()).store, busyboxImage(), BOX)
})
afterAll(removeScratch)

const create = (script: string, more = {}) =>
  Container.create(BOX, { command: ['sh', '-c', script], attachable: true, ...more })

withBox('who attaches before the start has all of it; the log and the result have it, too', async () => {
  await using container = await create('printf a; echo b; echo c; echo bad >&2')
  const [one, two] = [container.attach(), container.attach()]
  await container.start()
  const result = await container.wait()
  expect(await Promise.all([text(one.stdout), text(two.stdout), text(one.stderr)])).toEqual([
    'ab\nc\n',
    'ab\nc\n',
    'bad\n',
  ])
  expect([result.stdout, result.stderr]).toEqual(['ab\nc\n', 'bad\n'])
  const lines: string[] = []
  for await (const { stream, data } of container.logs()) lines.push(`${stream} ${data}`)
  expect(lines.sort()).toEqual(['stderr bad\n', 'stdout ab\n', 'stdout c\n'])
  expect(one.stdin).toBeNull()
})

withBox('input reaches the program, its end too; the next run has streams of its own', async () => {
  await using container = await create('cat', { stdinOpen: true })
  for (const words of ['first', 'second']) {
    const { stdin, stdout } = container.attach()
    await container.start()
    stdin?.end(words)
    expect(await text(stdout)).toBe(words)
    await container.wait()
  }
})

withBox('with logs: nothing is missing at the seam, or there twice, whenever one attaches', async () => {
  const lines = 20_000
  const script = `i=0; while [ $i -lt ${lines} ]; do printf "$i "; echo $i; echo e$i >&2; i=$((i+1)); done; printf e; read a; printf nd`
  const whole = Array.from({ length: lines }, (_, i) => `${i} ${i}\n`).join('')
  const errors = Array.from({ length: lines }, (_, i) => `e${i}\n`).join('')
  await using container = await create(script, { stdinOpen: true })
  const goOn = () => {
    const { stdin, stdout } = container.attach()
    // Who reads nothing would hold the program up.
    stdout.destroy()
    stdin?.write('\n')
  }
  const read = () => {
    const { stdout, stderr } = container.attach({ logs: true })
    return Promise.all([text(stdout), text(stderr)])
  }
  const readers = [read()]
  await container.start()
  for (let i = 0; i < 15; i++) {
    await new Promise((resolve) => setTimeout(resolve, 10))
    readers.push(read())
  }
  await container.waitFor(Wait.log(`e${lines - 1}`))
  await new Promise((resolve) => setTimeout(resolve, 100))
  // In the midst of a line.
  readers.push(read())
  goOn()
  await container.wait()
  // After its end: of this run, and then of the next one.
  const last = read()
  for (const reader of readers) {
    const [out, err] = await reader
    expect(out === `${whole}end`).toBe(true)
    expect(err === errors).toBe(true)
  }
  await container.start()
  goOn()
  await container.wait()
  const [out, err] = await last
  expect(out === `${whole}end${whole}end`).toBe(true)
  expect(err === errors + errors).toBe(true)
})

withBox(
  'with logs: who goes away while it is shown holds nobody up, and a container without a log has none',
  async () => {
    await using container = await create('cat; cat /dev/zero', { stdinOpen: true })
    const { stdin } = container.attach()
    await container.start()
    stdin?.end('x'.repeat(1_000_000))
    for (let i = 0; i < 5; i++) {
      const { stdout } = container.attach({ logs: true })
      stdout.once('readable', () => stdout.destroy())
    }
    const before = Date.now()
    await container.kill()
    expect(Date.now() - before).toBeLessThan(5000)
    await using without = await create('echo now', { logLimit: 0 })
    for (let i = 0; i < 2; i++) {
      const { stdout } = without.attach({ logs: true })
      await without.start()
      expect(await text(stdout)).toBe('now\n')
      await without.wait()
    }
  },
)

withBox('a terminal has a size, and one output', async () => {
  await using container = await create('stat -c %t /dev/console; read a; echo got $a', { tty: true, stdinOpen: true })
  container.resize(100, 40)
  const { stdin, stdout } = container.attach()
  await container.start()
  stdin?.write('typed\n')
  expect((await text(stdout)).replaceAll('\r', '')).toContain('got typed\n')
})

withBox('who reads nothing holds the program up, and not its end', async () => {
  await using container = await create('cat /dev/zero')
  const idle = container.attach()
  await container.start()
  await new Promise((resolve) => setTimeout(resolve, 300))
  const before = Date.now()
  await container.kill()
  expect(Date.now() - before).toBeLessThan(5000)
  expect(idle.stdout.readableLength).toBeLessThan(4 << 20)
})

withBox('a line without an end is cut in the log, and whole for who is attached', async () => {
  const size = 3_000_000
  await using container = await create('cat', { stdinOpen: true })
  const { stdin, stdout } = container.attach()
  await container.start()
  stdin?.end('x'.repeat(size))
  expect((await text(stdout)).length).toBe(size)
  await container.wait()
  const sizes: number[] = []
  for await (const { data } of container.logs()) sizes.push(data.length)
  expect(sizes).toEqual([1 << 20, 1 << 20, size - (2 << 20)])
})

withBox('without attachable there is nothing to attach to', async () => {
  await using container = await Container.create(BOX, { command: ['true'] })
  expect(() => container.attach()).toThrow('goes to its log alone')
  expect(() => container.resize(1, 1)).toThrow('goes to its log alone')
})
