/** The second wall: what holds when something of the host has got into a program's hands all the same. */
import { randomBytes } from 'node:crypto'
import { mkdirSync, symlinkSync } from 'node:fs'
import { createServer } from 'node:net'
import path from 'node:path'
import { Container, Image, type LandlockRules, type RunOptions, run } from '../../lib/index.js'
import { attack, hostImage, python } from '../support/attack.js'
import { hostileRoot } from '../support/naive.js'
import { isRoot, testIf } from '../support/needs.js'
import { removeScratch } from '../support/tree.js'

afterAll(removeScratch)

/** The wall's interface (landlock(7)), as a program finds it; 0: the kernel has none. */
async function version(): Promise<number> {
  const [answer] = await attack('print(call("landlock_create_ruleset", 0, 0, 1))', { security: { landlock: 'off' } })
  return Math.max(0, Number(answer))
}

describe('Landlock', () => {
  let known = 0
  beforeAll(async () => {
    known = await version()
  })
  const needs = (wanted: number) => {
    if (known >= wanted) return true
    if (process.env.CAISSON_REQUIRE === 'all' && wanted <= 2) throw new Error(`Landlock ${known}, not ${wanted}`)
    return false
  }

  testIf(!isRoot && 'an ordinary user sees no process of the host’s root')(
    'keeps a program from the host’s files, although it holds a descriptor of them',
    async () => {
      if (!needs(2)) return
      // Another wall is taken down on purpose: it sees the host's processes, and may look into them.
      const options: RunOptions = {
        namespaces: { pid: 'host' },
        security: { capabilities: { add: ['SYS_PTRACE'] }, seccomp: 'unconfined' },
      }
      const reach = `
root = os.open("/proc/${process.pid}/root", os.O_RDONLY)
print(tried(lambda: os.close(os.open("etc/passwd", os.O_RDONLY, dir_fd=root))))`
      expect(await attack(reach, { ...options, security: { ...options.security, landlock: 'off' } })).toEqual(['done'])
      const { stdout, stderr } = await run(await hostImage(), python(reach), options)
      expect(stdout).not.toContain('done')
      expect(stderr).toMatch(/Permission denied/)
    },
  )

  test('keeps it from the host’s sockets and processes where it shares their namespaces', async () => {
    if (!needs(6)) return
    const name = `caisson-test-${randomBytes(8).toString('hex')}`
    const server = createServer((socket) => socket.on('error', () => undefined)).listen(`\0${name}`)
    const connect = `import socket
names = ["\\0${name}", "\\0${name}".ljust(108, "\\0")]
print(*sorted({tried(lambda: socket.socket(socket.AF_UNIX).connect(name)) for name in names}))`
    const kill = `print(tried(lambda: os.kill(${process.pid}, 0)))`
    try {
      const shared: RunOptions = { network: 'host', namespaces: { pid: 'host' } }
      const off: RunOptions = { ...shared, security: { landlock: 'off' } }
      expect((await attack(connect, off))[0]).toMatch(/done/)
      expect((await attack(connect, shared))[0]).not.toMatch(/done/)
      expect(await attack(kill, off)).toEqual(['done'])
      expect(await attack(kill, shared)).toEqual(['EPERM'])
    } finally {
      server.close()
    }
  })

  test('forbids all mounting, so it stands aside for who asked for that by name', async () => {
    if (!needs(2)) return
    const mount = 'print(word(call("mount", b"none", b"/mnt", b"tmpfs", 0, 0)))'
    const security = { capabilities: { add: ['SYS_ADMIN'] } }
    expect(await attack(mount, { security })).toEqual(['done'])
    expect(await attack(mount, { security: { ...security, landlock: 'default' } })).toEqual(['EPERM'])
  })

  const rules = (landlock: LandlockRules): RunOptions => ({ security: { landlock } })
  const READ = [{ path: '/', access: 'execute' as const }]

  test('holds rules of the caller about files', async () => {
    if (!needs(2)) return
    const write = 'print(tried(lambda: open("/tmp/x", "w").close()), tried(lambda: open("/root/x", "w").close()))'
    expect(await attack(write)).toEqual(['done done'])
    expect(await attack(write, rules({ fs: READ }))).toEqual(['EACCES EACCES'])
    expect(await attack(write, rules({ fs: [...READ, { path: '/tmp', access: 'write' }] }))).toEqual(['done EACCES'])
    const without = rules({
      fs: [
        { path: '/usr', access: 'execute' },
        { path: '/none', access: 'read' },
      ],
    })
    await expect(run(await hostImage(), ['true'], without)).rejects.toMatchObject({
      code: 'ERR_CAISSON_ROOTFS',
      stage: 'landlock',
    })
  })

  test('holds rules of the caller for what they name, whatever the image has made a link', async () => {
    if (!needs(2)) return
    const { root } = hostileRoot((root) => {
      symlinkSync('/', path.join(root, 'work'))
      mkdirSync(path.join(root, 'own'))
    })
    const image = await Image.fromRootfs(root)
    const mounts = [{ type: 'tmpfs' as const, target: '/kept' }]
    const write = async (at: string, options: RunOptions = {}) =>
      (
        await run(image, ['/bin/sh', '-c', 'echo x > /kept/x && echo written'], {
          mounts,
          ...options,
          ...rules({
            fs: [
              { path: '/bin', access: 'execute' },
              { path: at, access: 'write' },
            ],
          }),
        })
      ).stdout
    expect(await write('/')).toBe('written\n')
    expect(await write('/own')).toBe('')
    for (const at of ['/work', '/work/own'])
      await expect(write(at)).rejects.toMatchObject({
        code: 'ERR_CAISSON_ROOTFS',
        stage: 'landlock',
        cause: { code: 'ELOOP' },
      })
  })

  test('holds rules of the caller about ports', async () => {
    if (!needs(4)) return
    const ports = `import socket
def listen(port): s = socket.socket(); s.bind(("127.0.0.1", port)); s.listen(); return s
print(tried(lambda: listen(8080)), tried(lambda: listen(8081)))
print(tried(lambda: socket.socket().connect(("127.0.0.1", 9999))))`
    expect(await attack(ports)).toEqual(['done done', 'ECONNREFUSED'])
    expect(await attack(ports, rules({ bind: [8080], connect: [] }))).toEqual(['done EACCES', 'EACCES'])
  })

  test('is for a container’s own program, and for those executed in it when it was asked for', async () => {
    if (!needs(2)) return
    const look = 'print(tried(lambda: os.readlink("/proc/1/fd/0")))'
    const make = async (options: object) =>
      Container.create(await hostImage(), { command: ['sleep', '1000'], ...options })
    await using usual = await make({})
    await usual.start()
    expect((await usual.exec(python(look))).stdout.trim()).toBe('done')
    await using strict = await make({ security: { landlock: { fs: [...READ] } } })
    await strict.start()
    expect((await strict.exec(python(look))).stdout.trim()).toBe('EACCES')
    expect((await strict.exec(python('print(tried(lambda: open("/tmp/x", "w").close()))'))).stdout.trim()).toBe(
      'EACCES',
    )
  })

  test('keeps a read-only root readable and its mounts writable', async () => {
    if (!needs(2)) return
    const write = 'print(*(tried(lambda: open(at + "/x", "w").close()) for at in ("/dev/shm", "/scratch", "/tmp")))'
    const mounts = [{ type: 'tmpfs' as const, target: '/scratch' }]
    expect(await attack(write, { readOnly: true, mounts })).toEqual(['done done EROFS'])
  })

  test('says what is wrong with rules', async () => {
    const image = await hostImage()
    const bad: unknown[] = [
      7,
      [],
      { files: [] },
      { fs: [] },
      { fs: [{ path: '/', access: 'all' }] },
      { fs: [{ path: 'x/../..', access: 'read' }] },
      { bind: [70_000] },
      { connect: 80 },
      { scope: ['pid'] },
    ]
    for (const landlock of bad)
      await expect(run(image, ['true'], { security: { landlock: landlock as never } })).rejects.toMatchObject({
        code: expect.stringMatching(/^ERR_CAISSON_(INVALID_ARGUMENT|ROOTFS)$/),
      })
  })
})
