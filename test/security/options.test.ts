/**
 * Options are trusted, but what they say is text, and no more: nothing in it reaches a path, an option of a mount or the
 * format of a file as anything else. A container sees exactly what was given, or nothing is started.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import fc from 'fast-check'
import { CaissonError, Container, type ContainerOptions, type ExecOptions, Image, run } from '../../lib/index.js'
import type { RuntimeSpec } from '../../lib/spec/runtime.js'
import { hostImage, python } from '../support/attack.js'
import { hostileRoot } from '../support/naive.js'
import { isRoot, testIf } from '../support/needs.js'
import { noPeers, runBundle } from '../support/peers.js'
import { removeScratch, scratch } from '../support/tree.js'

afterAll(removeScratch)

/** What separates something somewhere, and what is not text everywhere. */
const SEPARATORS = [
  ',',
  ':',
  '\\',
  '\n',
  '\t',
  ' ',
  '=',
  '"',
  "'",
  '$',
  '%',
  ';',
  '#',
  '*',
  '\\040',
  '\\,',
  'lowerdir=x',
]
const ODD = ['\0', '\ud800', '\u0001', '\u007f', '\u2028', '..', '.', '/', '//', '../', '-']
const piece = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom(...SEPARATORS) },
  { weight: 4, arbitrary: fc.constantFrom('a', 'é', '\u{1f600}', 'Z9') },
  { weight: 1, arbitrary: fc.constantFrom(...ODD) },
)
const text = fc.array(piece, { minLength: 1, maxLength: 8 }).map((pieces) => pieces.join(''))
/** That can name a file. */
const name = text.map((given) => given.replace(/[\0/\ud800]/g, '')).filter((given) => !['', '.', '..'].includes(given))

const many = (numRuns: number): fc.Parameters<unknown> => ({ numRuns, endOnFailure: true })

/** What the container says, as JSON in hexadecimal so that no separator of ours is among it; undefined: refused. */
async function told<T>(code: string, options: ContainerOptions & ExecOptions, image?: Image): Promise<T | undefined> {
  const all = `import json\n${code}\nprint(json.dumps(answer).encode().hex())`
  try {
    const result = await run(image ?? (await hostImage()), python(all), options)
    expect(result.stderr).toBe('')
    return JSON.parse(Buffer.from(result.stdout.trim(), 'hex').toString()) as T
  } catch (error) {
    if (!(error instanceof CaissonError)) throw error
    expect(error).toMatchObject({ code: expect.stringMatching(/^ERR_CAISSON_/), stage: expect.stringMatching(/./) })
    return undefined
  }
}

/** Texts without a form in UTF-8, or that the kernel ends early. */
const impossible = (given: string) => /[\0\p{Surrogate}]/u.test(given)

const hex = (given: string) => Buffer.from(given).toString('hex')

describe('a program gets', () => {
  test('its environment and words as they were given', async () => {
    const variables = fc.dictionary(text, text, { maxKeys: 4 })
    await fc.assert(
      fc.asyncProperty(variables, fc.array(text, { maxLength: 3 }), async (env, words) => {
        const code = `
env = open("/proc/self/environ", "rb").read().split(b"\\0")
answer = [[v.hex() for v in env], [os.fsencode(a).hex() for a in sys.argv[1:]]]`
        const all = `import json\n${code}\nprint(json.dumps(answer))`
        const command = [...python(all), ...words]
        const result = await run(await hostImage(), command, { env }).catch((error) => error)
        const wrong = [...words, ...Object.values(env)].some(impossible)
        const badName = Object.keys(env).some((key) => key.includes('=') || impossible(key))
        if (wrong || badName) return expect(result).toMatchObject({ code: 'ERR_CAISSON_INVALID_ARGUMENT' })
        const [variables, argv] = JSON.parse(result.stdout) as [string[], string[]]
        for (const [key, value] of Object.entries(env)) expect(variables).toContain(hex(`${key}=${value}`))
        const usual = ['PATH', 'HOSTNAME', 'HOME'].filter((key) => !Object.hasOwn(env, key))
        expect(variables.filter((each) => each !== '')).toHaveLength(usual.length + Object.keys(env).length)
        expect(argv).toEqual(words.map(hex))
      }),
      many(60),
    )
  }, 60_000)

  test('names, files, directories and mounts where they were asked for', async () => {
    const above = scratch()
    let count = 0
    await fc.assert(
      fc.asyncProperty(name, name, name, name, async (source, target, file, directory) => {
        const from = path.join(above, String(count++), source)
        mkdirSync(from, { recursive: true })
        writeFileSync(path.join(from, 'mark'), String(count))
        const answer = await told<string[]>(
          `
look = lambda at: open(os.fsencode(bytes.fromhex(at)) + b"/mark").read()
answer = [look("${hex(`/${target}`)}"), open(bytes.fromhex("${hex(`/in/${file}`)}")).read(), os.getcwdb().hex(),
          sorted(os.fsencode(n).hex() for n in os.listdir("/in")), os.path.ismount(bytes.fromhex("${hex(`/t/${target}`)}"))]`,
          {
            mounts: [
              { type: 'bind', source: from, target: `/${target}` },
              { type: 'overlay', source: from, target: `/over/${target}` },
              { type: 'tmpfs', target: `/t/${target}` },
            ],
            files: { [`/in/${file}`]: 'content' },
            workdir: `/place/${directory}`,
          },
        )
        expect(answer).toEqual([String(count), 'content', hex(`/place/${directory}`), [hex(file)], true])
      }),
      many(40),
    )
  }, 60_000)

  test('host names, hosts and servers in their files, or nothing', async () => {
    await fc.assert(
      fc.asyncProperty(text, text, text, text, async (hostname, domainname, host, address) => {
        const code = `
import socket
answer = [socket.gethostname(), os.uname()[1], open("/proc/sys/kernel/domainname").read(),
          open("/etc/hosts").read(), open("/etc/resolv.conf").read(), open("/etc/hostname").read()]`
        for (const options of [
          { hostname },
          { domainname },
          { extraHosts: { [host]: '10.0.0.1' } },
          { extraHosts: [`name:${address}`] },
          { dns: [address] },
        ] as ContainerOptions[]) {
          const answer = await told<string[]>(code, options)
          if (!answer) continue
          const [name, , domain, hosts = '', resolv] = answer
          if (options.hostname) expect(name).toBe(hostname)
          if (options.domainname) expect(domain).toBe(`${domainname}\n`)
          expect(hosts.split('\n')).toHaveLength(options.extraHosts ? 5 : 4)
          expect(resolv).toBe(options.dns ? `nameserver ${address}\n` : '')
        }
      }),
      many(25),
    )
  }, 60_000)

  test('an id that was given, and never root’s for a name that nobody has', async () => {
    const files = { '/etc/passwd': 'root:x:0:0::/:/bin/sh\n::0:0::/:\n', '/etc/group': 'root:x:0:\n' }
    await fc.assert(
      fc.asyncProperty(
        text.filter((user) => !/^0*(:|$)/.test(user)),
        async (user) => {
          const answer = await told<number[]>('answer = [os.getuid()]', { user, files })
          if (answer) expect(answer).toEqual([Number.parseInt(user, 10)])
          const grouped = await told<number[]>('answer = os.getgroups()', { groups: [user], files })
          if (grouped) expect(grouped).toContain(Number.parseInt(user, 10))
        },
      ),
      many(40),
    )
  }, 60_000)

  test('hidden and read-only paths, and rules, by their names', async () => {
    await fc.assert(
      fc.asyncProperty(name, name, async (hidden, fixed) => {
        fc.pre(hidden !== fixed)
        const [masked, still] = [`/x/${hidden}`, `/x/${fixed}`]
        const answer = await told<string[]>(
          `
answer = [len(os.listdir(bytes.fromhex("${hex(masked)}"))),
          tried(lambda: open(bytes.fromhex("${hex(`${still}/new`)}"), "w")), tried(lambda: open("/x/free", "w"))]`,
          {
            files: { [`${masked}/secret`]: 'x', [`${still}/file`]: 'x' },
            security: {
              maskedPaths: [masked],
              readonlyPaths: [still],
              landlock: {
                fs: [
                  { path: '/', access: 'write' },
                  { path: masked, access: 'read' },
                ],
              },
            },
          },
        )
        expect(answer).toEqual([0, 'EROFS', 'done'])
      }),
      many(25),
    )
  }, 60_000)
})

describe('what is no name of something is refused', () => {
  const image = hostImage
  const refused = async (options: unknown) =>
    expect(run(await image(), ['true'], options as ContainerOptions)).rejects.toMatchObject({
      name: 'CaissonError',
      code: expect.stringMatching(/^ERR_CAISSON_/),
    })
  test('in knobs, limits, devices, signals and profiles', async () => {
    await fc.assert(
      fc.asyncProperty(text, async (given) => {
        await refused({ sysctls: { [given]: '1' } })
        await refused({ sysctls: { [`net.core.${given}`]: '1' } })
        await refused({ limits: { unified: { [given]: '1' } } })
        await refused({ limits: { memory: given } })
        await refused({ limits: { cpuset: `${given},` } })
        await refused({ limits: { hugepages: { [given]: '2m' } } })
        await refused({ limits: { io: { devices: [{ path: given, readBps: 1 }] } } })
        await refused({ ulimits: { [given]: 1 } })
        await refused({ devices: [given] })
        await refused({ devices: [`/dev/null:${given}:${given}`] })
        await refused({ security: { capabilities: { add: [`x${given}`] } } })
        await refused({ security: { seccomp: { defaultAction: given, syscalls: [] } } })
        await refused({ mounts: [{ type: given, target: '/x' }] })
        await refused({ mounts: [{ type: 'tmpfs', target: '/x', size: `${given},mode=777` }] })
        await refused({ mounts: [{ type: 'bind', source: '/usr', target: '/x', propagation: given }] })
        await refused({ shmSize: given })
      }),
      many(40),
    )
  }, 60_000)

  test('in names of containers; labels are text', async () => {
    await fc.assert(
      fc.asyncProperty(text, text, text, async (name, key, value) => {
        const container = await Container.create(await image(), {
          name,
          command: ['true'],
          labels: { [key]: value },
        }).catch((error: unknown) => error)
        if (!(container instanceof Container)) {
          expect(container).toMatchObject({ code: 'ERR_CAISSON_INVALID_ARGUMENT' })
          const other = await Container.create(await image(), { command: ['true'], labels: { [key]: value } })
          const [info] = await Container.list({ labels: { [key]: value }, name: other.name })
          expect(info?.labels).toEqual({ [key]: value })
          await other.remove()
          return
        }
        expect(container.name).toBe(name)
        expect(name).toMatch(/^[\w.-]+$/)
        await container.remove()
      }),
      many(25),
    )
  }, 60_000)
})

describe('a place whose name has separators in it', () => {
  const NAMES = ['a,b', 'a:b', 'a\\b', 'a b', 'a\nb', 'a\\,b\\:c', 'é,\u{1f600}', 'lowerdir=x,upperdir=y', '%41\\054']

  test.each(NAMES)('is a root all the same: %j', async (name) => {
    const above = path.join(scratch(), name)
    mkdirSync(above)
    const { root } = hostileRoot((root) => writeFileSync(path.join(root, 'mark'), name), above)
    const image = await Image.fromRootfs(root)
    expect((await run(image, ['/bin/cat', '/mark'])).stdout).toBe(name)
    await using container = await Container.create(image, {
      command: ['/bin/cat', '/mark', '/etc/hostname'],
      hostname: 'box',
    })
    await container.start()
    expect((await container.wait()).stdout).toBe(`${name}box\n`)
    expect(readdirSync(above)).toEqual(['outside', 'root'])
  })

  /** One overlay for each directory: what lies in one of them. */
  for (const name of NAMES)
    testIf(noPeers)(`is one in the configuration for others too: ${JSON.stringify(name)}`, async () => {
      const above = path.join(scratch(), name)
      mkdirSync(above)
      const { root } = hostileRoot((root) => {
        mkdirSync(path.join(root, 'srv', name), { recursive: true })
        writeFileSync(path.join(root, 'srv', name, 'mark'), name)
      }, above)
      await using container = await Container.create(await Image.fromRootfs(root), {
        command: ['/bin/cat', `/srv/${name}/mark`, '/bound/mark'],
        mounts: [{ type: 'bind', source: path.join(root, 'srv', name), target: '/bound' }],
      })
      const { bundle } = container.inspect()
      for (const peer of ['runc', 'crun'] as const)
        expect({ peer, ...runBundle(peer, bundle) }).toEqual({ peer, stdout: `${name}${name}`, stderr: '', status: 0 })
      await using again = await Container.fromBundle(bundle)
      await again.start()
      expect((await again.wait()).stdout).toBe(`${name}${name}`)
    })
})

describe('a configuration that is written', () => {
  test('has every text as it was given, and is read back as it was written', async () => {
    const source = scratch()
    await fc.assert(
      fc.asyncProperty(text, text, name, async (word, value, file) => {
        fc.pre(![word, value].some(impossible))
        const from = path.join(source, file)
        mkdirSync(from, { recursive: true })
        const code = 'print(json.dumps([os.environ["X"], sys.argv[1], os.getcwd()]).encode().hex())'
        await using made = await Container.create(await hostImage(), {
          command: [...python(`import json\n${code}`), word],
          env: { X: value },
          workdir: `/tmp/${file}`,
          mounts: [{ type: 'bind', source: from, target: `/m/${file}` }],
          security: { seccomp: { defaultAction: 'SCMP_ACT_ALLOW', syscalls: [] } },
        })
        const { bundle } = made.inspect()
        const spec = JSON.parse(readFileSync(path.join(bundle, 'config.json'), 'utf8')) as RuntimeSpec
        expect(spec.process?.args?.at(-1)).toBe(word)
        expect(spec.process?.env).toContain(`X=${value}`)
        expect(spec.process?.cwd).toBe(`/tmp/${file}`)
        expect(spec.mounts).toContainEqual(expect.objectContaining({ source: from, destination: `/m/${file}` }))
        await using again = await Container.fromBundle(bundle)
        await again.start()
        const { stdout, stderr } = await again.wait()
        expect(stderr).toBe('')
        expect(JSON.parse(Buffer.from(stdout.trim(), 'hex').toString())).toEqual([value, word, `/tmp/${file}`])
      }),
      many(isRoot ? 25 : 10),
    )
  }, 60_000)

  test('has numbers with all their digits', async () => {
    const value = 0xfffffffffffffffdn
    await using made = await Container.create(await hostImage(), {
      command: ['true'],
      env: { X: '"\\u0000123\\u0000"' },
      security: {
        seccomp: {
          defaultAction: 'SCMP_ACT_ALLOW',
          syscalls: [{ names: ['kcmp'], action: 'SCMP_ACT_ERRNO', args: [{ index: 0, value, op: 'SCMP_CMP_EQ' }] }],
        },
      },
    })
    const written = readFileSync(path.join(made.inspect().bundle, 'config.json'), 'utf8')
    expect(written).toContain(`"value": ${value},`)
    expect((JSON.parse(written) as RuntimeSpec).process?.env).toContain('X="\\u0000123\\u0000"')
  })
})
