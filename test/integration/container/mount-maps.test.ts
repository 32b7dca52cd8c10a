/** Binds whose files show other owners than they have on disk. */
import { execFileSync } from 'node:child_process'
import { chmodSync, chownSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { Container, Image, type Mount, run } from '../../../lib/index.js'
import { isRoot, testIf } from '../../support/needs.js'
import { removeScratch, scratch } from '../../support/tree.js'

const asRoot = testIf(!isRoot && 'only root may give files other owners')
const OTHERS = [{ containerID: 5000, hostID: 0, size: 100 }]

afterAll(removeScratch)

/** Files that belong to 5000 and 5001. */
function files(): string {
  const directory = scratch()
  for (const [name, id] of [
    ['first', 5000],
    ['second', 5001],
  ] as const) {
    writeFileSync(path.join(directory, name), name)
    chownSync(path.join(directory, name), id, id)
  }
  chmodSync(directory, 0o777)
  chownSync(directory, 5000, 5000)
  return directory
}
const bind = (source: string, more: Partial<Mount> = {}): Mount => ({
  type: 'bind',
  source,
  target: '/data',
  idmap: { uidMap: OTHERS, gidMap: OTHERS },
  ...more,
})

asRoot('files show the mapped owners, and new ones get the owners on disk that map to them', async () => {
  const source = files()
  const script = 'stat -c "%u:%g" /data/first /data/second; touch /data/made; chown 7:8 /data/made'
  const { stdout, stderr } = await run(await Image.host(), ['sh', '-c', script], { mounts: [bind(source)] })
  expect([stdout, stderr]).toEqual(['0:0\n1:1\n', ''])
  const made = statSync(path.join(source, 'made'))
  expect([made.uid, made.gid]).toEqual([5007, 5008])
})

asRoot('the place may be written in another way', async () => {
  for (const target of ['/data/', '//data', '/./data']) {
    const mounts = [bind(files(), { target })]
    const { stdout } = await run(await Image.host(), ['stat', '-c', '%u', '/data/second'], { mounts })
    expect(stdout).toBe('1\n')
  }
})

asRoot('an id without a place on disk owns nothing there', async () => {
  const script = 'touch /data/x 2>&1 || stat -c "%u" /data/first'
  const { stdout } = await run(await Image.host(), ['sh', '-c', script], { mounts: [bind(files())], user: '200:200' })
  expect(stdout).toMatch(/Value too large|Permission denied|\n0\n$/)
})

asRoot('what is mounted below is mapped too, and read-only when asked', async () => {
  const source = files()
  mkdirSync(path.join(source, 'below'))
  const script = `mount --bind ${source} ${source}/below; exec "$@"`
  const code = `
    const { Image, run } = await import(${JSON.stringify(path.resolve('dist/index.js'))})
    const mounts = [${JSON.stringify(bind(source, { readOnly: true }))}]
    const { stdout } = await run(await Image.host(), ['sh', '-c', 'stat -c %u /data/below/second; touch /data/below/x || echo no'], { mounts })
    console.log(stdout)`
  const out = execFileSync(
    'unshare',
    ['-m', 'sh', '-c', script, 'sh', process.execPath, '--input-type=module', '-e', code],
    {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    },
  )
  expect(out.trim()).toBe('1\nno')
})

asRoot('a container that is kept has them at each start, and its config.json says them', async () => {
  const container = await Container.create(await Image.host(), {
    command: ['stat', '-c', '%u', '/data/second'],
    mounts: [bind(files())],
  })
  try {
    for (let i = 0; i < 2; i++) {
      await container.start()
      await container.wait()
    }
    const lines: string[] = []
    for await (const { data } of container.logs()) lines.push(String(data).trim())
    expect(lines).toEqual(['1', '1'])
    const spec = JSON.parse(readFileSync(path.join(container.inspect().bundle, 'config.json'), 'utf8'))
    const mount = spec.mounts.find(({ destination }: { destination: string }) => destination === '/data')
    expect([mount.uidMappings, mount.gidMappings]).toEqual([OTHERS, OTHERS])
  } finally {
    await container.remove({ force: true })
  }
})

test.each([
  ['another type than a bind', { type: 'tmpfs', source: undefined }],
  ['ranges that overlap', { idmap: { uidMap: [...OTHERS, ...OTHERS], gidMap: OTHERS } }],
  ['no ranges', { idmap: { uidMap: [], gidMap: [] } }],
])('%s is refused', async (_what, more) => {
  const mounts = [bind('/tmp', more as Partial<Mount>)]
  await expect(run(await Image.host(), ['true'], { mounts })).rejects.toMatchObject({
    code: 'ERR_CAISSON_INVALID_ARGUMENT',
  })
})

testIf(isRoot && 'root may')('an ordinary user is told that it may not', async () => {
  const source = scratch()
  await expect(run(await Image.host(), ['true'], { mounts: [bind(source)] })).rejects.toMatchObject({
    code: expect.stringMatching(/^ERR_CAISSON_/),
  })
})
