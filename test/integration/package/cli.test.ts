import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { CLI, caisson } from '../../support/command.js'

describe('caisson', () => {
  test('says what it can do', () => {
    const { status, stdout, stderr } = caisson(['--help'])
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
    for (const name of ['run', 'pull', 'push', 'images', 'doctor'])
      expect(stdout).toMatch(new RegExp(`^ {2}${name} +\\S`, 'm'))
    expect(caisson([]).stdout).toBe(stdout)
  })

  test.each([
    'run',
    'pull',
    'push',
    'images',
    'tag',
    'rmi',
    'save',
    'load',
    'history',
    'inspect',
    'prune',
    'builder',
    'ps',
    'network',
    'volume',
    'df',
    'login',
    'logout',
    'doctor',
  ])('says what %s can do', (command) => {
    const { status, stdout } = caisson([command, '--help'])
    expect(status).toBe(0)
    expect(stdout).toMatch(new RegExp(`^Usage: caisson ${command} `))
  })

  test('flags behind the image are those of the command; when that is no command, it says so', () => {
    const { status, stderr } = caisson(['run', 'host', '--rm', 'echo', 'x'])
    expect({ status, stderr }).toEqual({ status: 127, stderr: expect.stringContaining('Flags go before the image') })
  })

  test('has the version of the package', () => {
    const { version } = JSON.parse(readFileSync('package.json', 'utf8'))
    expect(caisson(['--version'])).toEqual({ status: 0, stdout: `${version}\n`, stderr: '' })
  })

  test('is in the package, executable by its first line', () => {
    const { bin } = JSON.parse(readFileSync('package.json', 'utf8'))
    expect(path.resolve(bin.caisson)).toBe(CLI)
    expect(readFileSync(CLI, 'utf8')).toMatch(/^#!\/usr\/bin\/env sh\n':' \/\/; exec node -- "\$0" "\$@"\n/)
  })

  test('tells errors in two lines, and more only when asked', () => {
    const { status, stdout, stderr } = caisson(['rum', 'host'])
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' })
    expect(stderr).toBe('caisson: there is no command "rum"\nhint: See caisson --help.\n')
    expect(caisson(['rum'], { env: { NODE_DEBUG: 'caisson' } }).stderr).toMatch(/\n\s+at /)
  })
})

describe('networks, volumes and containers', () => {
  const root = mkdtempSync(path.join(tmpdir(), 'caisson-cli-'))
  const here = (...args: string[]) => caisson(args, { env: { CAISSON_ROOT: root } })
  const columns = (line: string | undefined) => (line ?? '').split(/ {3,}/)
  afterAll(() => rmSync(root, { recursive: true, force: true }))

  test('networks are made, listed, looked at and removed', () => {
    const subnets = ['--subnet', '10.231.7.0/24', '--subnet', 'fd00:231:7::/64', '--gateway', '10.231.7.9']
    const made = here('network', 'create', 'back', '--internal', '--label', 'tier=back', ...subnets)
    expect(made).toEqual({ status: 0, stdout: expect.stringMatching(/^[0-9a-f]{64}\n$/), stderr: '' })
    const id = made.stdout.trim()
    expect(here('network', 'create', 'front').status).toBe(0)
    const [heading, first, second] = here('network', 'ls').stdout.split('\n').map(columns)
    expect(heading).toEqual(['NETWORK ID', 'NAME', 'DRIVER', 'SCOPE'])
    expect([first, second?.[1]]).toEqual([[id.slice(0, 12), 'back', 'bridge', 'local'], 'front'])
    expect(here('network', 'ls', '-q', '--no-trunc', '--filter', 'label=tier=back').stdout).toBe(`${id}\n`)
    expect(here('network', 'list', '--format', '{{.Name}} {{.Internal}}').stdout).toBe('back true\nfront false\n')
    const [inspected] = JSON.parse(here('network', 'inspect', id.slice(0, 8)).stdout)
    expect(inspected).toMatchObject({
      name: 'back',
      internal: true,
      ipv4: { subnet: '10.231.7.0/24', gateway: '10.231.7.9' },
      ipv6: { subnet: 'fd00:231:7::/64' },
      labels: { tier: 'back' },
    })
    expect(here('network', 'create', 'back')).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('back already'),
    })
    const removed = here('network', 'rm', 'nothing', 'back')
    expect(removed).toEqual({ status: 1, stdout: 'back\n', stderr: 'caisson: there is no network "nothing"\n' })
    expect(here('network', 'rm', '--force', 'back').status).toBe(0)
    expect(here('network', 'prune', '--force').stdout).toBe('Deleted Networks:\nfront\n')
    expect(here('network', 'ls', '--quiet').stdout).toBe('')
  })

  test('volumes are made, listed, looked at and removed', () => {
    expect(here('volume', 'create', '--label', 'of=me', 'kept').stdout).toBe('kept\n')
    expect(here('volume', 'create').stdout).toMatch(/^[0-9a-f]{64}\n$/)
    writeFileSync(path.join(root, 'volumes/kept/data/file'), 'x'.repeat(10_000))
    const [heading, ...rows] = here('volume', 'ls').stdout.trim().split('\n').map(columns)
    expect(heading).toEqual(['DRIVER', 'VOLUME NAME'])
    expect(rows).toContainEqual(['local', 'kept'])
    expect(rows.length).toBe(2)
    expect(here('volume', 'ls', '-q', '--filter', 'anonymous=false').stdout).toBe('kept\n')
    expect(here('volume', 'ls', '-q', '-f', 'dangling=true', '-f', 'anonymous=false').stdout).toBe('kept\n')
    expect(here('volume', 'ls', '-q', '-f', 'dangling=0').stdout).toBe('')
    const [kept] = JSON.parse(here('volume', 'inspect', 'kept').stdout)
    expect(kept).toMatchObject({ name: 'kept', path: path.join(root, 'volumes/kept/data'), labels: { of: 'me' } })
    expect(JSON.parse(here('inspect', '--type', 'volume', 'kept').stdout)).toEqual([kept])
    expect(here('volume', 'create', '--opt', 'colour=red', 'red').stderr).toContain('there is no option colour')
    expect(here('volume', 'prune').stdout).toMatch(/^Deleted Volumes:\n[0-9a-f]{64}\n\nTotal reclaimed space: /)
    // Blocks of the file, and of its directory where the file system counts those.
    const pruned = /^Deleted Volumes:\nkept\n\nTotal reclaimed space: 1[26]\.\dkB\n$/
    expect(here('volume', 'prune', '--all').stdout).toMatch(pruned)
    expect(here('volume', 'rm', 'kept')).toEqual({
      status: 1,
      stdout: '',
      stderr: 'caisson: there is no volume "kept"\n',
    })
    expect(here('volume', 'rm', '-f', 'kept').status).toBe(0)
  })

  test('containers of other processes are listed', async () => {
    const program = `const { Container, Image } = require(${JSON.stringify(path.resolve('dist/index.cjs'))})
      Image.host().then(async (image) => {
        const options = { name: 'one', labels: { a: 'b' }, storage: 'memory', command: ['sleep', '60'] }
        await (await Container.create(image, options)).start()
      })`
    const env = { ...process.env, CAISSON_ROOT: root, NODE_DEBUG: '' }
    const running = spawn(process.execPath, ['-e', program], { env, stdio: 'ignore' })
    try {
      for (let i = 0; i < 100 && here('ps', '-q').stdout === ''; i++) await new Promise((done) => setTimeout(done, 50))
      const [heading, row, ...more] = here('ps').stdout.trim().split('\n').map(columns)
      expect(heading).toEqual(['CONTAINER ID', 'IMAGE', 'COMMAND', 'CREATED', 'STATUS', 'PORTS', 'NAMES'])
      expect(row?.slice(1, 3)).toEqual([expect.stringMatching(/^[0-9a-f]{12}$/), '"sleep 60"'])
      expect(row?.[4]).toMatch(/^Up (Less than a|\d+) seconds?$/)
      expect([row?.at(-1), more]).toEqual(['one', []])
      expect(here('ps', '--filter', 'label=a=c', '-q').stdout).toBe('')
      expect(here('ps', '--filter', 'status=exited', '-q').stdout).toBe('')
      expect(here('ps', '-l', '--format', '{{.Names}} {{.State}}').stdout).toBe('one running\n')
      expect(here('ps', '--filter', 'colour=red')).toMatchObject({ status: 1, stdout: '' })
    } finally {
      running.kill('SIGKILL')
      await once(running, 'exit')
    }
    // Its watchdog has the last word.
    for (let i = 0; i < 100 && here('ps', '-aq').stdout !== ''; i++) await new Promise((done) => setTimeout(done, 50))
    expect(here('ps', '--all', '--quiet').stdout).toBe('')
  })

  test('what is no command of them is an error that names those that are', () => {
    const hint = 'hint: There are: create, ls, inspect, rm, prune.\n'
    expect(here('network', 'paint').stderr).toBe(`caisson: network: there is no command "paint"\n${hint}`)
    expect(here('volume').stderr).toBe(`caisson: volume: a command is missing\n${hint}`)
    expect(here('volume', 'rm', '--help').stdout).toMatch(/^Usage: caisson volume rm /)
  })
})

describe('images', () => {
  const root = mkdtempSync(path.join(tmpdir(), 'caisson-cli-'))
  const here = (...args: string[]) => caisson(args, { env: { CAISSON_ROOT: root } })
  afterAll(() => rmSync(root, { recursive: true, force: true }))

  test('are built, listed, looked at, saved together and removed, with flags before and after', () => {
    const context = path.join(root, 'context')
    mkdirSync(context)
    writeFileSync(path.join(context, 'Dockerfile'), 'FROM scratch\nCOPY Dockerfile /\nLABEL of=cli\n')
    expect(here('build', context, '-q', '-t', 'box:1').status).toBe(0)
    expect(here('tag', 'box:1', 'team/box:2')).toEqual({ status: 0, stdout: '', stderr: '' })
    expect(here('images', '-a', '--format', '{{.Repository}}={{ .Tag }}').stdout).toBe('box=1\nteam/box=2\n')
    expect(here('images', '--format', 'table {{.Tag}}\\t{{.Repository}}').stdout).toBe(
      'TAG   REPOSITORY\n1     box\n2     team/box\n',
    )
    const [first] = here('images', '--format', 'json').stdout.split('\n')
    expect(JSON.parse(first as string)).toMatchObject({
      Repository: 'box',
      Tag: '1',
      Size: expect.stringMatching(/B$/),
    })
    expect(here('images', '--format', '{{.Nothing}}').stderr).toContain('There are: Repository, Tag')
    expect(here('images', '--filter', 'label=of=cli', '-q').stdout).toMatch(/^[0-9a-f]{12}\n$/)
    expect(here('images', '--filter', 'label=of=none', '-q').stdout).toBe('')
    expect(here('images', '--filter', 'colour=red').status).toBe(1)
    expect(here('image', 'ls', '--digests').stdout).toMatch(/^box:1 +sha256:[0-9a-f]{64} /m)
    expect(here('history', 'box:1').stdout).toMatch(/^[-0-9]+ [:0-9]+ +LABEL of=cli/m)
    const [image] = JSON.parse(here('inspect', 'box:1').stdout)
    expect(image).toMatchObject({ tags: ['box:1', 'team/box:2'], config: { Labels: { of: 'cli' } } })
    const format = '{{.id}} {{index .Config.Labels "of"}} {{range .tags}}<{{.}}>{{end}} {{len .layers}}'
    expect(here('inspect', '-f', format, 'box:1')).toEqual({
      status: 0,
      stdout: `${image.id} cli <box:1><team/box:2> ${image.layers.length}\n`,
      stderr: '',
    })
    expect(JSON.parse(here('inspect', '--format', 'json', 'box:1').stdout)).toEqual(image)
    expect(here('inspect', '-f', '{{.Nmae}}', 'box:1')).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('tags'),
    })
    expect(here('images', '--format', '{{json .Tag}}').stdout).toBe('"1"\n"2"\n')
    const missing = here('inspect', 'box:1', 'nobody')
    expect([missing.status, JSON.parse(missing.stdout)]).toEqual([1, [image]])

    const file = path.join(root, 'both.tar')
    expect(here('save', 'box:1', 'team/box:2', '-o', file).status).toBe(0)
    expect(here('rmi', 'box:1', 'nobody', 'team/box:2')).toEqual({
      status: 1,
      stdout: 'box:1\nteam/box:2\n',
      stderr: 'caisson: there is no image "nobody:latest"\n',
    })
    expect(here('rmi', '-f', 'nobody').status).toBe(0)
    expect(here('load', '-q', '-i', file).stdout).toBe('box:1\n')
    const { images, blobs, downloads, cacheMounts, volumes } = JSON.parse(here('df', '--json').stdout)
    expect({ images, downloads, cacheMounts, volumes }).toEqual({
      images: 1,
      cacheMounts: { count: 0, bytes: 0 },
      downloads: { count: 0, bytes: 0 },
      volumes: { count: 0, bytes: 0 },
    })
    expect([blobs.count >= 3, blobs.bytes > 0]).toEqual([true, true])
    expect(here('df').stdout).toMatch(/^TYPE +TOTAL +SIZE\nImages, as they came +1 +\S+B\n/)
    expect(here('builder', 'prune', '-f', '--filter', 'until=24h').stdout).toBe('Total reclaimed space: 0B\n')
    expect(here('builder', 'prune', '--filter', 'type=x').status).toBe(1)
    expect(here('prune', '-f').stdout).toBe('Total reclaimed space: 0B\n')
    expect(here('prune', '-a', '--build-cache').stdout).toMatch(/^box:1\nteam\/box:2\nTotal reclaimed space: /)
  })
})
