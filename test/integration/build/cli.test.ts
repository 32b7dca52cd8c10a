/** Every flag of `caisson build`. */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import path from 'node:path'
import { Image } from '../../../lib/index.js'
import { boxForTests, contextOf, inside } from '../../support/build.js'
import { noBusybox, tar } from '../../support/busybox-image.js'
import { CLI } from '../../support/command.js'
import { noRegistry, startRegistry } from '../../support/docker-registry.js'
import { findProgram, testIf } from '../../support/needs.js'
import { scratch } from '../../support/tree.js'

boxForTests()
const withBusybox = testIf(noBusybox)
const withRegistry = testIf(noBusybox || noRegistry)
const inTerminal = testIf(noBusybox || (!findProgram('script') && 'script, of util-linux'))

/** Without a network unless the flags say so. */
function build(args: string[], { input, env, cwd }: { input?: string | Buffer; env?: object; cwd?: string } = {}) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [CLI, 'build', '--network', 'none', ...args], {
    input,
    cwd,
    env: { ...process.env, NODE_DEBUG: '', ...env },
  })
  return { status, stdout: stdout.toString(), stderr: stderr.toString(), bytes: stdout }
}

/** The image that a build must come to. */
async function built(args: string[], options?: Parameters<typeof build>[1]): Promise<Image> {
  const { status, stdout, stderr } = build(args, options)
  expect([status, status === 0 ? '' : stderr]).toEqual([0, ''])
  return Image.get(stdout.trim())
}

describe('caisson build', () => {
  withBusybox('takes names, labels, arguments, a target, another file, and flags behind the context', async () => {
    const context = contextOf({
      'other/File': `FROM box:1 AS one
ARG WHO=nobody
ARG FROM_HERE
RUN echo "$WHO $FROM_HERE" > /who
FROM one AS two
RUN exit 1
`,
    })
    const id = path.join(scratch(), 'id')
    const image = await built(
      [
        '-t',
        'cli:1',
        context,
        '-f',
        'other/File',
        '--tag',
        'cli:2',
        '--target',
        'one',
        '--label',
        'a=b',
        '--iidfile',
        id,
      ].concat(['--build-arg', 'WHO=me', '--build-arg', 'FROM_HERE', '--platform', 'linux']),
      { env: { FROM_HERE: 'caller' } },
    )
    expect((await Image.get('cli:2')).id).toBe(image.id)
    expect((await Image.get('cli:1')).tags).toEqual(['cli:1', 'cli:2'])
    expect(image.config.Labels).toEqual({ a: 'b' })
    expect(readFileSync(id, 'utf8')).toBe(image.id)
    expect(await inside(image, 'cat /who')).toBe('me caller\n')
    const other = await built(['--platform', 'linux/arm64', '-f', '-', context], {
      input: 'FROM scratch\nCOPY other /\n',
    })
    expect((await other.inspect()).platform).toBe('linux/arm64')
  })

  withBusybox('does all anew, or some stages, when asked', async () => {
    const text = 'FROM box:1 AS a\nRUN echo a\nFROM a AS b\nRUN echo b\n'
    const cached = (...flags: string[]) => build([...flags, '-'], { input: text }).stderr.match(/CACHED/g)?.length ?? 0
    expect([cached(), cached(), cached('--no-cache'), cached('--no-cache-filter', 'b')]).toEqual([0, 2, 0, 1])
  })

  withBusybox('gives secrets, an agent, other contexts, hosts and limits to commands', async () => {
    const directory = contextOf({ secret: 'from-a-file', 'extra/file': 'extra' })
    const socket = path.join(scratch(), 'agent')
    const agent = createServer().listen(socket)
    await new Promise((resolve) => agent.once('listening', resolve))
    const text = `FROM base
COPY --from=more file /file
RUN --mount=type=secret,id=one --mount=type=secret,id=two,env=TWO --mount=type=secret,id=three,target=/three \\
    --mount=type=ssh,id=default cat /run/secrets/one /three > /said && echo " $TWO" >> /said && \\
    test -S $SSH_AUTH_SOCK && grep -c 10.1.2.3 /etc/hosts >> /said && stat -f -c %b /dev/shm >> /said
`
    const flags = [
      '--secret',
      `id=one,src=${directory}/secret`,
      '--secret',
      'id=two,env=SECRET',
      '--secret',
      'id=three',
    ]
    const more = [
      '--ssh',
      `default=${socket}`,
      '--build-context',
      `more=${directory}/extra`,
      '--add-host',
      'db:10.1.2.3',
    ]
    const rest = ['--build-context', 'base=docker-image://box:1', '--shm-size', '1m', '-m', '64m', '-']
    try {
      const image = await built([...flags, ...more, ...rest], { input: text, env: { SECRET: 'in-env', three: '-3' } })
      expect(await inside(image, 'cat /said /file')).toBe('from-a-file-3 in-env\n1\n256\nextra')
    } finally {
      agent.close()
    }
  })

  withBusybox('refuses what was not granted, and what it does not know', async () => {
    const open = 'FROM box:1\nRUN --network=host true\n'
    expect(build(['-'], { input: open }).stderr).toContain('--network=host is refused')
    expect(build(['--allow', 'network.host', '-'], { input: open }).status).toBe(0)
    for (const flags of [
      ['--network', 'bridge'],
      ['--progress', 'loud'],
      ['--output', 'type=nothing,dest=x'],
      ['--cache-to', 'type=gha'],
      ['--cache-to', 'type=local,src=x'],
      ['--cache-to', 'type=registry,ref=x,mode=most'],
      ['--cache-from', 'type=inline'],
      ['--cache-from', 'type=local,dest=x'],
      ['--output', 'type=local'],
      ['--output', 'type=image,dest=x'],
      ['--output', 'type=image,push=perhaps'],
      ['--output', 'type=oci,dest=x,compression=brotli'],
      ['--ulimit', 'nofile'],
      ['--secret', 'src=x'],
      ['--no-such-flag'],
      ['--push'],
    ]) {
      const { status, stderr } = build([...flags, '-'], { input: 'FROM box:1\n' })
      expect([flags, status, stderr]).toEqual([flags, 1, expect.stringMatching(/^caisson: .*\nhint: ./)])
    }
  })

  withBusybox('takes an archive, a Dockerfile, or a repository as its context', async () => {
    const archive = tar({ name: 'Dockerfile', data: 'FROM box:1\nCOPY . /c\n' }, { name: 'x', data: 'in the archive' })
    expect(await inside(await built(['-'], { input: archive }), 'cat /c/x')).toBe('in the archive')
    const { status, stderr } = build(['-f', '-', '-'], { input: 'FROM box:1' })
    expect([status, stderr]).toEqual([1, expect.stringContaining('both the context and the Dockerfile')])
    const here = contextOf({ Dockerfile: 'FROM box:1\nCOPY file /\n', file: 'here' })
    expect(await inside(await built(['.'], { cwd: here }), 'cat /file')).toBe('here')
  })

  withBusybox('writes files, archives of them, and archives of images', async () => {
    const text = 'FROM scratch\nCOPY <<EOF /a/b\nhello\nEOF\n'
    const directory = scratch()
    const at = (name: string) => path.join(directory, name)
    await built(['-o', at('files'), '-'], { input: text })
    await built(
      ['--output', `type=tar,dest=${at('files.tar')}`, '-t', 'bare:1', '-o', `type=oci,dest=${at('oci.tar')}`, '-'],
      {
        input: text,
      },
    )
    expect(readFileSync(at('files/a/b'), 'utf8')).toBe('hello\n')
    for (const name of ['files.tar', 'oci.tar'])
      expect(readFileSync(at(name)).subarray(257, 262).toString()).toBe('ustar')
    const toOutput = build(['-o', '-', '-'], { input: text })
    expect([toOutput.status, toOutput.bytes.subarray(257, 262).toString()]).toEqual([0, 'ustar'])
    // The archive is all that is there.
    expect(toOutput.bytes.length % 512).toBe(0)
    expect(toOutput.bytes.subarray(-1024)).toEqual(Buffer.alloc(1024))
    await built(['-o', `type=docker,dest=${at('docker.tar')}`, '-t', 'bare:2', '-'], { input: text })
    expect((await Image.load(at('docker.tar'))).tags).toEqual(['bare:2'])
  })

  withBusybox('takes limits of commands, and caches in directories and images', async () => {
    const directory = path.join(scratch(), 'cache')
    const text = 'FROM box:1\nRUN ulimit -n > /limit\n'
    const image = await built(
      ['--ulimit', 'nofile=77:88', '--cache-to', `type=local,dest=${directory},mode=max`, '-'],
      {
        input: text,
      },
    )
    expect(await inside(image, 'cat /limit')).toBe('77\n')
    await Image.pruneBuildCache()
    const again = build(['--cache-from', `type=local,src=${directory}`, '-'], { input: text })
    expect([again.status, again.stdout.trim(), again.stderr.match(/CACHED/g)?.length]).toEqual([0, image.id, 1])
    const inline = await built(['--cache-to', 'type=inline', '-'], { input: text })
    expect(inline.id).not.toBe(image.id)
  })

  withBusybox('shows steps in lines or JSON, and prints the id alone when asked', async () => {
    const text = 'FROM box:1\nRUN echo "said $((40 + 2))"; echo \u001b[31mred\n'
    const plain = build(['--progress', 'plain', '--no-cache', '-'], { input: text })
    expect(plain.stderr).toMatch(/^#1 \[\S+ 1\/1\] RUN echo .* \(line 2\)\n/)
    expect(plain.stderr).toMatch(/#1 \d\.\ds said 42\n#1 \d\.\ds red\n#1 DONE \d\.\ds\n/)
    expect(plain.stdout).toMatch(/^sha256:[0-9a-f]{64}\n$/)
    const lines = build(['--progress', 'json', '--no-cache', '-'], { input: text }).stderr.trim().split('\n')
    const types = lines.map((line) => JSON.parse(line).type)
    expect([types[0], types.at(-1), new Set(types.slice(1, -1))]).toEqual(['step', 'step', new Set(['output'])])
    for (const quiet of [['-q'], ['--progress', 'quiet'], ['--progress=quiet', '--quiet=false']])
      expect(build([...quiet, '--no-cache', '-'], { input: text })).toMatchObject({ status: 0, stderr: '' })
    const raw = build(['--progress', 'rawjson', '--no-cache', '-'], { input: text }).stderr
    expect(JSON.parse(raw.split('\n', 1)[0] as string)).toMatchObject({ type: 'step', status: 'started' })
  })

  withBusybox('lets no Dockerfile and no command write to the terminal', async () => {
    const input = 'FROM box:1 AS \u001bStage\nRUN printf "\\033]0;owned\\007"; exit 3 # \u001b[2J\u009b1m\u0007\n'
    for (const text of [
      input,
      input.replace(' AS \u001bStage', '').replace('exit 3', 'true'),
      'FROM box:1\n\u001b[2J x\n',
    ]) {
      const { stderr } = build(['--progress', 'plain', '--no-cache', '-'], { input: text })
      // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
      expect(stderr).not.toMatch(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/)
      expect(stderr).not.toBe('')
    }
  })

  withBusybox('warns of build arguments that nothing asks for', async () => {
    const input = 'FROM box:1\nARG VERSION\nRUN true\n'
    const args = ['--build-arg', 'VERSON=1', '--build-arg', 'VERSION=2', '--build-arg', 'HTTP_PROXY=http://localhost']
    const { status, stderr } = build([...args, '-'], { input })
    expect([status, stderr.match(/^warning: .*$/gm)]).toEqual([
      0,
      [expect.stringMatching(/VERSON is not used.*\(did you mean VERSION\?\)/)],
    ])
  })

  withBusybox('prints an error with what the command said, and nothing that a terminal would obey', async () => {
    const input = `FROM box:1\nRUN printf '\\033]0;owned\\007\\033[2Jsaid\\n'; exit 3\n`
    const { status, stderr } = build(['--progress', 'plain', '-'], { input })
    expect(status).toBe(1)
    expect(stderr.slice(stderr.indexOf('caisson: '))).toContain('said')
    expect(stderr).not.toContain('\u001b')
    expect(stderr).not.toContain('\u0007')
  })

  inTerminal('draws steps in a terminal', async () => {
    const context = contextOf({ Dockerfile: 'FROM box:1\nRUN sleep 0.3; echo slow\n' })
    const words = [process.execPath, CLI, 'build', '--network', 'none', '--no-cache', context].join(' ')
    const { stdout } = spawnSync('script', ['-qec', words, '/dev/null'], { encoding: 'utf8', env: { ...process.env } })
    expect(stdout).toContain(' => [stage-0 1/1] RUN sleep')
    expect(stdout).toContain('\u001b[')
    expect(stdout).toMatch(/ => 0\.\ds +\[stage-0 1\/1\] RUN sleep/)
  })

  withBusybox('checks a Dockerfile, and builds nothing', async () => {
    const root = scratch()
    const directory = contextOf({ Dockerfile: 'FROM scratch as base\nENTRYPOINT run\n', fine: 'FROM scratch\n' })
    const env = { CAISSON_ROOT: root }
    const { status, stdout } = build(['--check', directory], { env })
    expect([status, stdout]).toEqual([
      1,
      expect.stringMatching(/FromAsCasing.*line 1[\s\S]*JSONArgsRecommended.*line 2/),
    ])
    expect(build(['--check', '-f', 'fine', directory], { env })).toMatchObject({ status: 0, stdout: '' })
    expect(build(['--check', '-'], { input: 'FORM x', env }).stderr).toContain('did you mean FROM?')
    expect(
      existsSync(path.join(root, 'index.json')) && readFileSync(path.join(root, 'index.json'), 'utf8'),
    ).not.toContain('sha256')
  })

  withRegistry(
    'writes digests and names to a file, and takes docker’s words for what becomes of an image',
    async () => {
      await using registry = await startRegistry()
      const name = (text: string) => `${registry.host}/team/${text}`
      const file = path.join(scratch(), 'metadata.json')
      const metadata = () => JSON.parse(readFileSync(file, 'utf8'))
      const input = 'FROM scratch\nCOPY <<EOF /a\nhello\nEOF\n'
      const kept = await built(['--metadata-file', file, '-t', 'kept:1', '-o', 'type=docker', '-'], { input })
      expect(metadata()).toEqual({
        'containerimage.config.digest': kept.id,
        'containerimage.digest': kept.digest,
        'image.name': 'docker.io/library/kept:1',
      })
      const inRegistry = async (tag: string) => {
        const accept = 'application/vnd.oci.image.manifest.v1+json'
        const response = await fetch(`http://${registry.host}/v2/team/${tag}/manifests/1`, { headers: { accept } })
        return [response.status, response.headers.get('docker-content-digest')]
      }
      const outputs = [
        ['one', `type=image,"name=${name('one:1')},${name('two:1')}",push=true`],
        ['three', `type=registry,name=${name('three:1')},compression=uncompressed`],
      ] as const
      for (const [tag, output] of outputs) {
        await built(['--metadata-file', file, '-o', output, '-'], { input })
        expect(await inRegistry(tag)).toEqual([200, metadata()['containerimage.digest']])
      }
      expect((await inRegistry('two'))[0]).toBe(200)
      expect((await inRegistry('three'))[1]).toBe(kept.digest)
      await built(['-o', `type=image,name=${name('four:1')}`, '-'], { input })
      expect([(await Image.get(name('four:1'))).id, (await inRegistry('four'))[0]]).toEqual([kept.id, 404])
    },
  )

  withRegistry('pushes, fetches bases anew, and shares its cache through a registry', async () => {
    await using registry = await startRegistry()
    const name = (text: string) => `${registry.host}/team/${text}`
    const text = `FROM ${name('base')} AS make
RUN date +%N > /made
FROM ${name('base')}
COPY --from=make /made /
RUN cat /made > /again
`
    const base = async (greeting: string) =>
      built(['-t', name('base'), '--push', '-'], { input: `FROM box:1\nRUN echo ${greeting} > /greeting\n` })
    await base('one')
    const cache = ['--cache-to', `type=registry,ref=${name('cache:1')}`, '--cache-from', name('cache:1')]
    const first = await built([...cache, '-'], { input: text })
    // Another machine, which has nothing.
    const elsewhere = { input: text, env: { CAISSON_ROOT: path.join(scratch(), 'elsewhere') } }
    mkdirSync(elsewhere.env.CAISSON_ROOT)
    const there = build([...cache, '-'], elsewhere)
    expect([there.status, there.stderr.match(/CACHED/g)?.length]).toEqual([0, 3])
    expect(there.stdout.trim()).toBe(first.id)
    await base('two')
    const stale = { ...elsewhere, input: `FROM ${name('base')}\nRUN cat /greeting\n` }
    expect(build(['-'], stale).stderr).toContain(' one\n')
    expect(build(['--pull', '-'], stale).stderr).toContain(' two\n')
  })
})
