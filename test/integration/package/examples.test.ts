import { execFileSync, spawn } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { transformSync } from 'esbuild'
import { Image } from '../../../lib/index.js'
import { imageRoots } from '../../../lib/runtime/image/roots.js'
import { busyboxImage, noBusybox, tar } from '../../support/busybox-image.js'
import { startRegistry } from '../../support/docker-registry.js'
import { findProgram, isRoot, testIf } from '../../support/needs.js'
import { storeImage } from '../../support/store-images.js'
import { removeScratch, scratch } from '../../support/tree.js'

const root = path.resolve(__dirname, '../../..')
/** Without `env` a child has what jest itself was started with. */
const execute = (file: string, args: readonly string[]) =>
  execFileSync(file, args, { cwd: root, env: process.env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
const node = (...args: string[]) => execute(process.execPath, args)
/** In a network namespace of its own: bridges and rules are not made for the machine. */
const nodeAlone = (...args: string[]) =>
  execute('unshare', ['--net', 'sh', '-c', 'ip link set lo up && exec "$@"', 'sh', process.execPath, ...args])
const example = (name: string) => path.join('examples', `${name}.mjs`)

const asRoot = testIf(!isRoot && 'only root has limits here')
const withBusybox = testIf(noBusybox)
const asCompose = testIf(noBusybox || (!isRoot && 'only root has bridges'))
const inTerminal = testIf(!isRoot ? 'only root' : !findProgram('script') && 'no script')

describe('the examples', () => {
  asRoot('the demo says how each program ended', async () => {
    const endings = [...node(example('demo')).matchAll(/^ {2}ended by (\S+( \d+)?)/gm)].map(([, ending]) => ending)
    expect(endings).toEqual([
      ...[
        'exit 0',
        'exit 0',
        'timeout',
        'cpu',
        'oom',
        'timeout',
        'output',
        'exit 0',
        'exit 0',
        'exit 2',
        'exit 0',
        'exit 0',
      ],
    ])
  })

  asRoot('the code runner gives back output, and ends what does not end', async () => {
    const out = node(example('code-runner'))
    expect(out).toContain("stdout: '6\\n'")
    expect(out).toContain("stdout: 'nobody\\n'")
    expect(out.match(/reason: '\w+'/g)).toEqual(["reason: 'exit'", "reason: 'exit'", "reason: 'cpu'"])
  })

  asRoot('the judge knows every kind of submission', async () => {
    const verdicts = [
      ...node(example('judge')).matchAll(/^(\w+) +\{ verdict: '([^']+)'|^(\w+) +\{\n {2}verdict: '([^']+)'/gm),
    ]
    expect(Object.fromEntries(verdicts.map(([, a, b, c, d]) => [a ?? c, b ?? d]))).toEqual({
      right: 'accepted',
      wrong: 'wrong answer',
      endless: 'time limit exceeded',
      idle: 'idleness limit exceeded',
      greedy: 'memory limit exceeded',
      chatty: 'output limit exceeded',
      broken: 'runtime error',
      crashing: 'runtime error',
    })
  })

  withBusybox('the build makes a server, which answers', async () => {
    const out = node(example('build'))
    expect(out).toContain('<h1>Built by caisson</h1>\nthe secret was here\n')
    expect(out).toMatch(/^(done {2}|cached) COPY --from=pages \/pages \/srv$/m)
  })

  test('the egress policy lets one name and port through, and tells of the rest', () => {
    const out = node(example('egress'))
    expect(out).toContain('the registry: packages for registry.example\n')
    for (const [what, error] of [
      ['another port of it', 'Connection reset'],
      ['another name', 'Name or service not known'],
      ['a secret in a name', 'Name or service not known'],
      ['cloud metadata', 'Connection reset'],
      ['this machine', 'Connection refused'],
      ['a datagram', 'Operation not permitted'],
    ])
      expect(out).toMatch(new RegExp(`^${what}: .*${error}`, 'm'))
    expect(out).toContain('denied  name collector.example\n')
    expect(out).toMatch(/^1 connection, \d+ bytes sent, \d+ received$/m)
  })

  asCompose('the web application counts in its database', async () => {
    const out = nodeAlone(example('compose'))
    expect(out).toMatch(/^visits: 1\nvisits: 2\nvisits: 3$/m)
  })

  asRoot('the test harness passes its own tests', async () => {
    expect(node('--test', '--test-reporter=tap', example('test-harness'))).toMatch(/^# pass 2$/m)
  })

  inTerminal('the shell is one', async () => {
    const child = spawn('script', ['-qec', `${process.execPath} ${example('shell')}`, '/dev/null'], { cwd: root })
    let text = ''
    child.stdout.on('data', (chunk) => {
      text += chunk
    })
    const ended = new Promise((resolve) => child.once('close', resolve))
    const prompt = new Promise<void>((resolve) =>
      child.stdout.on('data', () => text.includes('sandbox:/') && resolve()),
    )
    await Promise.race([prompt, ended])
    child.stdin.end('echo $((6 * 7)) $(hostname)\rexit 5\r')
    const code = await ended
    expect(text).toContain('42 sandbox')
    expect(code).toBe(5)
  })
})

/** Where the README's registry is. */
const REGISTRY = 'localhost:5000'

/** The image that it pulls. */
async function pushTo(host: string): Promise<void> {
  const image = busyboxImage({ Env: ['FROM=registry'] }, tar({ name: 'greeting', data: 'hello\n' }))
  const name = `${host}/team/box:1`
  await storeImage((await imageRoots()).store, image, name)
  const stored = await Image.get(name)
  await stored.push()
  await stored.remove({ force: true })
}

const blocksOf = (file: string) =>
  [...readFileSync(path.join(root, file), 'utf8').matchAll(/```js\n([\s\S]*?)```/g)].map(([, code]) => code as string)

/** `await using` is older than the oldest Node that we run on. */
const scriptOf = (code: string) => transformSync(code, { format: 'esm', target: 'node20' }).code

describe('the README', () => {
  const blocks = blocksOf('README.md')

  for (const code of blocks) {
    const name = code.split('\n').find((line) => line !== '' && !line.startsWith('import')) ?? ''
    asRoot(`runs: ${name}`, async () => {
      await using registry = code.includes(REGISTRY) ? await startRegistry() : undefined
      if (registry) await pushTo(registry.host)
      const here = code.replaceAll(REGISTRY, registry?.host ?? '')
      // Lines end with what they print: `console.log(x) // 42`.
      const wanted = [...here.matchAll(/console\.log\(.*\) \/\/ (.*)$/gm)].map(([, text]) => text)
      const start = /\bNetwork\b/.test(here) ? nodeAlone : node
      const lines = start('--input-type=module', '-e', scriptOf(here)).trim().split('\n')
      expect(lines).toEqual(wanted)
    })
  }
})

describe('the documents', () => {
  const before = process.env.CAISSON_ROOT
  beforeAll(() => {
    process.env.CAISSON_ROOT = scratch()
  })
  afterAll(() => {
    if (before === undefined) delete process.env.CAISSON_ROOT
    else process.env.CAISSON_ROOT = before
    removeScratch()
  })

  for (const file of readdirSync(path.join(root, 'docs')).map((name) => path.join('docs', name))) {
    // Others are parts of programs, or need a file.
    const whole = blocksOf(file).filter((code) => code.startsWith('import ') && !code.includes('compose.yaml'))
    whole.forEach((code, index) => {
      asRoot(`${file} has programs that run: ${index + 1}`, async () => {
        nodeAlone('--input-type=module', '-e', scriptOf(code))
      })
    })
  }
})
