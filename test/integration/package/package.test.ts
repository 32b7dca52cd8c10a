import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'

const root = path.resolve(__dirname, '../../..')
const manifest = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'))

describe('the package', () => {
  let directory: string
  beforeAll(() => {
    directory = mkdtempSync(path.join(tmpdir(), 'caisson-package-'))
    execFileSync('npm', ['pack', '--silent', '--pack-destination', directory], { cwd: root })
  })
  afterAll(() => rmSync(directory, { recursive: true, force: true }))

  const tarball = () => path.join(directory, readdirSync(directory).find((name) => name.endsWith('.tgz')) as string)
  const tool = (name: string, ...args: string[]) =>
    execFileSync(process.execPath, [path.join(root, 'node_modules', name), ...args], { cwd: root, encoding: 'utf8' })

  test('runs nothing when it is installed', () => {
    for (const script of ['preinstall', 'install', 'postinstall', 'prepare'])
      expect(manifest.scripts).not.toHaveProperty(script)
    for (const name of Object.keys(manifest.dependencies)) {
      const dependency = JSON.parse(readFileSync(path.join(root, 'node_modules', name, 'package.json'), 'utf8'))
      expect({ name, install: dependency.scripts?.install ?? dependency.scripts?.postinstall }).toEqual({ name })
    }
  })

  test('holds the library, the addon and the documents, and nothing else', () => {
    const files = execFileSync('tar', ['-tzf', tarball()], { encoding: 'utf8' }).trim().split('\n')
    const kinds = new Set(
      files.map((file) =>
        file
          .split('/')
          .slice(1, /\/(dist|docs)\//.test(file) ? 2 : undefined)
          .join('/'),
      ),
    )
    expect([...kinds].sort()).toEqual([
      'CHANGELOG.md',
      'LICENSE',
      'README.md',
      'SECURITY.md',
      'dist',
      'docs',
      'package.json',
      expect.stringMatching(/^prebuilds\/linux-\w+-(glibc|musl)\/caisson\.node$/),
    ])
  })

  test('publint has nothing to say', () => {
    expect(tool('publint/src/cli.js', 'run', tarball(), '--strict')).toContain('All good!')
  })

  test('its types are right for every way to import it', () => {
    expect(tool('@arethetypeswrong/cli/dist/index.js', tarball(), '--format', 'ascii')).toContain('No problems found')
  })

  test('works where it was installed, from ES modules, CommonJS and the command line', () => {
    const app = mkdtempSync(path.join(tmpdir(), 'caisson-app-'))
    try {
      execFileSync('tar', ['-xzf', tarball(), '-C', app])
      const modules = path.join(app, 'node_modules')
      execFileSync('mkdir', [modules])
      execFileSync('mv', [path.join(app, 'package'), path.join(modules, 'caisson')])
      for (const name of readdirSync(path.join(root, 'node_modules')))
        if (['p-queue', 'p-timeout', 'eventemitter3', 'tar', 'yaml'].includes(name))
          execFileSync('ln', ['-s', path.join(root, 'node_modules', name), path.join(modules, name)])
      const node = (...args: string[]) => execFileSync(process.execPath, args, { cwd: app, encoding: 'utf8' })
      const body =
        "Image.host().then((image) => run(image, ['echo', 'here'])).then(({ stdout }) => console.log(stdout.trim()))"
      expect(node('--input-type=module', '-e', `import { Image, run } from 'caisson'; ${body}`)).toBe('here\n')
      expect(node('-e', `const { Image, run } = require('caisson'); ${body}`)).toBe('here\n')
      // One list of containers, of both parts of the package.
      const served = `(async () => {
        const server = await serve({ socket: 's' })
        const container = await Container.create(await Image.host(), { name: 'shown' })
        const { get } = await import('node:http')
        get({ socketPath: 's', path: '/containers/json?all=1' }, async (response) => {
          for await (const chunk of response) console.log(JSON.parse(chunk)[0].Names[0])
          await container.remove()
          await server.close()
        })
      })()`
      const imports = "import { Container, Image } from 'caisson'; import { serve } from 'caisson/engine';"
      expect(node('--input-type=module', '-e', `${imports} ${served}`)).toBe('/shown\n')
      const required = "const { Container, Image } = require('caisson'); const { serve } = require('caisson/engine');"
      expect(node('-e', `${required} ${served}`)).toBe('/shown\n')
      expect(node(path.join(modules, 'caisson', manifest.bin.caisson), '--version')).toContain(manifest.version)
    } finally {
      rmSync(app, { recursive: true, force: true })
    }
  })
})
