/** Whom a program is started as, by every way there is to start one. */
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { Container, type ContainerOptions, type ExecOptions, Pool, run } from '../../lib/index.js'
import type { RuntimeSpec } from '../../lib/spec/runtime.js'
import { hostImage } from '../support/attack.js'
import { hostileRoot, naively } from '../support/naive.js'
import { removeScratch } from '../support/tree.js'

afterAll(removeScratch)

type Way = (command: string[], options: ContainerOptions & ExecOptions) => Promise<string>

async function kept<T>(options: ContainerOptions & { command: string[] }, use: (container: Container) => Promise<T>) {
  await using container = await Container.create(await hostImage(), options)
  await container.start()
  return await use(container)
}

/** Where a health check has left its output. */
const LEFT = '/tmp/left'

const WAYS: Array<[string, Way]> = [
  ['run', async (command, options) => (await run(await hostImage(), command, options)).stdout],
  [
    'run with an init',
    async (command, options) => (await run(await hostImage(), command, { ...options, init: true })).stdout,
  ],
  [
    'run on a terminal',
    async (command, options) => (await run(await hostImage(), command, { ...options, tty: true })).stdout,
  ],
  [
    'a container',
    (command, options) => kept({ ...options, command }, async (container) => (await container.wait()).stdout),
  ],
  [
    'a container that was restarted',
    (command, options) =>
      kept({ ...options, command }, async (container) => {
        await container.wait()
        await container.start()
        return (await container.wait()).stdout
      }),
  ],
  [
    'exec',
    (command, options) =>
      kept({ ...options, command: ['sleep', '1000'] }, async (container) => (await container.exec(command)).stdout),
  ],
  [
    'exec by a template, on a terminal, as another',
    (command, { user, ...options }) =>
      kept({ ...options, command: ['sleep', '1000'] }, async (container) => {
        await container.exec(['true'], { tty: true, user })
        return (await container.exec(command, { tty: true, user })).stdout
      }),
  ],
  [
    'a health check',
    (command, options) => {
      const test = ['CMD', 'sh', '-c', `"$@" > ${LEFT}.new; mv ${LEFT}.new ${LEFT}`, 'sh', ...command]
      const healthcheck = { test, interval: 20 }
      return kept({ ...options, healthcheck, command: ['sleep', '1000'] }, async (container) => {
        for (;;) {
          const text = await container.fs.readFile(LEFT, 'utf8').catch(() => undefined)
          if (text) return text as string
          await new Promise((resolve) => setTimeout(resolve, 20))
        }
      })
    },
  ],
  [
    'a pool',
    async (command, { user, ...options }) => {
      await using pool = new Pool(await hostImage(), { ...options, size: 1 })
      return (await pool.run(command, { user })).stdout
    },
  ],
]

/** Everything that a program has from whoever started it. */
const LOOK = `
grep -E "^(Cap|NoNewPrivs|Seccomp:|Groups|SigBlk|SigIgn)" /proc/self/status
echo "fds" $(ls /proc/self/fd | tr "\\n" " ")
echo "cwd" $(pwd -P) $(readlink /proc/self/cwd)
echo "umask" $(umask)
echo "session" $(cut -d" " -f6 /proc/self/stat | sed "s/^0$/none/")
echo "ids" $(id -u) $(id -g)
`.trim()

const words = (text: string) =>
  new Map(
    text
      .replaceAll('\r', '')
      .trim()
      .split('\n')
      .map((line) => line.split(/:?\s+/))
      .map(([name, ...rest]) => [name as string, rest.join(' ').trim()]),
  )

describe.each(WAYS)('a program that %s starts', (_name, way) => {
  const look = async (options: ContainerOptions & ExecOptions = {}) => words(await way(['sh', '-c', LOOK], options))

  test('has Docker’s rights, none that is inheritable or ambient (CVE-2022-29162, CVE-2022-24769), and is filtered', async () => {
    const got = await look({ workdir: '/usr' })
    expect(Object.fromEntries(got)).toMatchObject({
      CapInh: '0000000000000000',
      CapPrm: '00000000a80425fb',
      CapEff: '00000000a80425fb',
      CapBnd: '00000000a80425fb',
      CapAmb: '0000000000000000',
      NoNewPrivs: '1',
      Seccomp: '2',
      SigBlk: '0000000000000000',
      fds: '0 1 2 3',
      cwd: '/usr /usr',
      umask: '0022',
      ids: '0 0',
    })
    expect(got.get('session')).not.toBe('none')
  })

  test('has none at all as another user', async () => {
    expect(Object.fromEntries(await look({ user: '1000:1001' }))).toMatchObject({
      CapInh: '0000000000000000',
      CapPrm: '0000000000000000',
      CapEff: '0000000000000000',
      CapBnd: '00000000a80425fb',
      CapAmb: '0000000000000000',
      NoNewPrivs: '1',
      Seccomp: '2',
      Groups: '1001',
      ids: '1000 1001',
    })
  })

  test('has what was loosened by name, and shows it', async () => {
    const got = await look({
      security: { capabilities: { add: ['NET_ADMIN'] }, noNewPrivileges: false, seccomp: 'unconfined' },
    })
    expect(Object.fromEntries(got)).toMatchObject({ CapEff: '00000000a80435fb', NoNewPrivs: '0', Seccomp: '0' })
  })

  test('is the user of that number, whatever a line of passwd has for a name (CVE-2026-30892)', async () => {
    const files = {
      '/etc/passwd': 'root:x:0:0::/:/bin/sh\n1000:x:0:0::/:/bin/sh\n1:x:0:0::/:/bin/sh\n',
      '/etc/group': '1001:x:0:\n1:x:0:\n',
    }
    for (const [user, ids] of [
      ['1000', '1000 0'],
      ['1', '1 0'],
      ['1000:1001', '1000 1001'],
    ] as const)
      expect((await look({ user, files })).get('ids')).toBe(ids)
  })

  test('is nobody by a number that no user can have, whatever a line has for a name', async () => {
    const numbers = ['2147483648', '4294967295', '9223372036854775808', '-42', '+0']
    const files = {
      '/etc/passwd': numbers.map((number) => `${number}:x:0:0::/:/bin/sh\n`).join(''),
      '/etc/group': numbers.map((number) => `${number}:x:0:\n`).join(''),
    }
    const refused = { code: 'ERR_CAISSON_INVALID_ARGUMENT' }
    for (const number of numbers) {
      await expect(look({ user: number, files })).rejects.toMatchObject(refused)
      await expect(look({ user: `1:${number}`, files })).rejects.toMatchObject(refused)
      await expect(look({ user: '1', groups: [number], files })).rejects.toMatchObject(refused)
    }
  })
})

describe('the same look', () => {
  test('sees inheritable rights that a configuration gives', async () => {
    await using made = await Container.create(await hostImage(), { command: ['sh', '-c', LOOK] })
    const file = path.join(made.inspect().bundle, 'config.json')
    const spec = JSON.parse(readFileSync(file, 'utf8')) as RuntimeSpec
    Object.assign(spec.process?.capabilities ?? {}, { inheritable: ['CAP_CHOWN'], ambient: ['CAP_CHOWN'] })
    writeFileSync(file, JSON.stringify(spec))
    await using container = await Container.fromBundle(made.inspect().bundle)
    await container.start()
    const got = words((await container.wait()).stdout)
    expect(got.get('CapInh')).toBe('0000000000000001')
    expect(got.get('CapAmb')).toBe('0000000000000001')
  })

  test('is led astray by a name that is a number where names come first', () => {
    const { root } = hostileRoot((root) => {
      writeFileSync(path.join(root, 'etc/passwd'), 'root:x:0:0::/:/bin/sh\n1000:x:0:0::/:/bin/sh\n')
      writeFileSync(path.join(root, 'etc/group'), 'root:x:0:\n')
    })
    expect(naively(root, 'id -u 1000')).toBe('0')
  })
})
