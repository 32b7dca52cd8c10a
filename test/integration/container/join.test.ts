import { statSync } from 'node:fs'
import { Image, Namespace, type NamespaceType, type RunOptions, run } from '../../../lib/index.js'
import { type Background, background, namespacesOf, TYPES } from '../../support/background.js'
import { isRoot, testIf } from '../../support/needs.js'

const asRoot = testIf(!isRoot && 'only root may')
const LOOK = `for type in ${TYPES.join(' ')}; do readlink /proc/self/ns/$type; done`

let image: Image
beforeAll(async () => {
  image = await Image.host()
})

/** What a program in the container sees of its own namespaces. */
async function seen(options: RunOptions): Promise<Partial<Record<NamespaceType, number>>> {
  const { stdout, stderr, exitCode } = await run(image, ['sh', '-c', LOOK], options)
  expect({ stderr, exitCode }).toEqual({ stderr: '', exitCode: 0 })
  const links = stdout.trim().split('\n')
  return Object.fromEntries(links.map((link) => [link.split(':')[0], Number(/\d+/.exec(link)?.[0])]))
}

function others(all: Partial<Record<NamespaceType, number>>, but: readonly NamespaceType[]): Array<number | undefined> {
  return TYPES.filter((type) => type !== 'user' && !but.includes(type)).map((type) => all[type])
}

describe('namespaces: host', () => {
  for (const type of TYPES)
    asRoot(`shares ${type}, and no other`, async () => {
      const host = namespacesOf('self')
      const inside = await seen({ namespaces: { [type]: 'host' } })
      expect(inside[type]).toBe(host[type])
      expect(inside.user).toBe(host.user)
      for (const inode of others(inside, [type])) expect(Object.values(host)).not.toContain(inode)
    })

  asRoot('does not let a container change what it shares', async () => {
    const shared: Array<[RunOptions, string]> = [
      [{ namespaces: { uts: 'host' }, hostname: 'other' }, 'hostname'],
      [{ namespaces: { mnt: 'host' }, files: { '/x': 'y' } }, 'files'],
      [{ namespaces: { mnt: 'host' }, readOnly: true }, 'readOnly'],
      [{ namespaces: { net: 'host' }, sysctls: { 'net.core.somaxconn': '10' } }, 'sysctls'],
      [{ namespaces: { ipc: 'host' }, sysctls: { 'kernel.shmmax': '10' } }, 'sysctls'],
    ]
    for (const [options, name] of shared)
      await expect(run(image, ['true'], options)).rejects.toMatchObject({
        code: 'ERR_CAISSON_INVALID_ARGUMENT',
        message: expect.stringContaining(name),
      })
  })

  asRoot('shows the host’s shared memory with its ipc namespace', async () => {
    const { stdout } = await run(image, ['stat', '-c', '%d:%i', '/dev/shm'], { namespaces: { ipc: 'host' } })
    const { dev, ino } = statSync('/dev/shm')
    expect(stdout.trim()).toBe(`${dev}:${ino}`)
  })
})

describe('a Namespace that was made', () => {
  for (const type of TYPES)
    asRoot(`is joined: ${type}`, async () => {
      using made = await Namespace.create(type)
      const host = namespacesOf('self')
      const inside = await seen({ namespaces: { [type]: made } })
      expect(inside[type]).toBe(made.inode)
      for (const inode of others(inside, [type])) {
        expect(Object.values(host)).not.toContain(inode)
        expect(inode).not.toBe(made.inode)
      }
      // The container had a duplicate; ours is still there, and good for another.
      expect((await seen({ namespaces: { [type]: made } }))[type]).toBe(made.inode)
    })

  asRoot('belongs to a user namespace, and both are joined', async () => {
    using user = await Namespace.create('user')
    const types = TYPES.filter((type) => type !== 'user' && type !== 'mnt')
    const made = await Promise.all(types.map((type) => Namespace.create(type, { user })))
    try {
      const namespaces = Object.fromEntries([user, ...made].map((each) => [each.type, each]))
      const inside = await seen({ namespaces })
      for (const each of [user, ...made]) expect(inside[each.type]).toBe(each.inode)
    } finally {
      for (const each of made) each.dispose()
    }
  })

  asRoot('is the host’s own: nothing has to be joined', async () => {
    using user = await Namespace.of(process.pid, 'user')
    expect((await seen({ namespaces: { user } })).user).toBe(user.inode)
  })

  asRoot('is not there any more', async () => {
    const made = await Namespace.create('net')
    made.dispose()
    await expect(run(image, ['true'], { namespaces: { net: made } })).rejects.toMatchObject({
      code: 'ERR_CAISSON_INVALID_STATE',
    })
  })
})

describe.each<[string, RunOptions]>([
  ['a container', {}],
  ['a container with a user namespace', { namespaces: { user: 'private' } }],
])('the namespaces of %s', (_, options) => {
  let target: Background
  let held: Namespace[]
  let its: Record<NamespaceType, number>
  beforeAll(async () => {
    if (!isRoot) return
    target = await background(image, 'echo inside > /mark; echo started; exec sleep 1000', options)
    its = namespacesOf(target.pid)
    held = await Promise.all(TYPES.map((type) => Namespace.of(target.pid, type)))
  })
  afterAll(async () => {
    for (const each of held ?? []) each.dispose()
    await target?.[Symbol.asyncDispose]()
  })

  const take = (...types: NamespaceType[]) => ({
    namespaces: Object.fromEntries(held.filter(({ type }) => types.includes(type)).map((each) => [each.type, each])),
  })

  for (const type of TYPES.filter((each) => each !== 'mnt'))
    asRoot(`are joined one by one: ${type}`, async () => {
      const inside = await seen(take(type))
      expect(inside[type]).toBe(its[type])
      for (const other of TYPES.filter((each) => each !== type && each !== 'user'))
        expect(inside[other]).not.toBe(its[other])
    })

  asRoot('are joined one by one: mnt', async () => {
    // Its /proc shows processes of its own pid namespace only, so the host looks.
    await using joined = await background(image, 'cat /mark; exec sleep 1000', take('mnt'))
    expect(namespacesOf(joined.pid)).toMatchObject({ mnt: its.mnt })
    expect(namespacesOf(joined.pid).pid).not.toBe(its.pid)
  })

  asRoot('are all joined', async () => {
    expect(await seen(take(...TYPES))).toEqual(its)
    const { stdout } = await run(image, ['cat', '/mark', '/proc/1/cmdline'], take(...TYPES))
    expect(stdout).toBe('inside\nsleep\u00001000\u0000')
  })

  asRoot('are joined with the user namespace alone', async () => {
    const inside = await seen(take('user', 'net'))
    expect(inside).toMatchObject({ user: its.user, net: its.net })
    expect(inside.uts).not.toBe(its.uts)
  })
})

asRoot('a process that joined a pid namespace ends with it', async () => {
  using made = await Namespace.create('pid')
  await using joined = await background(image, 'echo started; exec sleep 1000', { namespaces: { pid: made } })
  made.dispose()
  expect(await joined.execution).toMatchObject({ exitCode: null, signal: 'SIGKILL', reason: 'signal' })
})

asRoot('descriptors of joined namespaces do not pass on to the program', async () => {
  using net = await Namespace.create('net')
  using uts = await Namespace.create('uts')
  const { stdout } = await run(image, ['ls', '/proc/self/fd'], { namespaces: { net, uts } })
  expect(stdout.trim().split('\n')).toEqual(['0', '1', '2', '3'])
})
