/** Where builds get files from. */
import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import path from 'node:path'
import { Readable } from 'node:stream'
import { Image } from '../../lib/index.js'
import { build, contextOf, failure, inside, removeBuilds, storeBox } from '../support/build.js'
import { folder, noBusybox, tar } from '../support/busybox-image.js'
import { findProgram, isRoot, testIf } from '../support/needs.js'
import { scratch } from '../support/tree.js'

process.env.CAISSON_ROOT = scratch()
const withBusybox = testIf(noBusybox)
const withGit = testIf(noBusybox || (!findProgram('git') && 'no git'))
const asOrdinary = testIf(noBusybox || (isRoot && 'root reads everything'))

beforeAll(async () => {
  if (!noBusybox) await storeBox()
})
afterAll(removeBuilds)

const ALL = 'FROM box:1\nCOPY . /all\n'
const found = (image: Image) => inside(image, 'cd /all && find . | sort')

describe('a context', () => {
  withBusybox('leaves out what .dockerignore says, or the file beside the Dockerfile', async () => {
    const context = contextOf({
      Dockerfile: ALL,
      'other.Dockerfile': ALL,
      '.dockerignore': '*Dockerfile*\n.docker*\nnode_modules\n*.log\n!keep.log\ndeep/**\n!deep/in/here\n',
      'other.Dockerfile.dockerignore': '**\n!a\n',
      a: '',
      'b.log': '',
      'keep.log': '',
      'node_modules/x': '',
      'deep/in/here': '',
      'deep/in/there': '',
    })
    expect(await found(await Image.build({ context }))).toBe('.\n./a\n./deep\n./deep/in\n./deep/in/here\n./keep.log\n')
    expect(await found(await Image.build({ context, dockerfile: 'other.Dockerfile' }))).toBe('.\n./a\n')
  })

  withBusybox('may be an archive, as bytes or as a stream', async () => {
    const archive = tar({ name: 'Dockerfile', data: ALL }, folder('sub'), { name: 'sub/file', data: 'x', uid: 12 })
    for (const context of [archive, Readable.from([archive.subarray(0, 100), archive.subarray(100)])]) {
      const image = await Image.build({ context })
      expect(await found(image)).toBe('.\n./Dockerfile\n./sub\n./sub/file\n')
      expect(await inside(image, 'stat -c %u /all/sub/file')).toBe('0\n')
    }
  })

  withBusybox('may have others beside it, by name', async () => {
    const extra = contextOf({ 'x/y': 'extra' })
    const base = (await build('RUN echo base > /base')).image
    const { image } = await build('FROM from-caller\nCOPY --from=more x /x\nCOPY --from=box /etc/passwd /p\n', {
      contexts: { more: extra, 'from-caller': base, box: 'docker-image://box:1' },
    })
    expect(await inside(image, 'cat /x/y /base; grep -c app /p')).toBe('extrabase\n1\n')
    const whole = await build('FROM tree\nCMD ["x"]', { contexts: { tree: extra } })
    expect(whole.image.layers).toHaveLength(1)
  })

  withGit('may be a repository', async () => {
    const work = contextOf({ 'app/Dockerfile': ALL, 'app/file': 'committed' })
    symlinkSync('/etc', path.join(work, 'out'))
    const git = (...args: string[]) =>
      execFileSync('git', ['-c', 'user.name=t', '-c', 'user.email=t@t', ...args], { cwd: work, stdio: 'pipe' })
    git('init', '-q', '-b', 'main')
    git('add', '.')
    git('commit', '-q', '-m', 'one')
    git('tag', 'v1')
    const bare = path.join(scratch(), 'app.git')
    git('clone', '-q', '--bare', '.', bare)
    const image = await Image.build({ context: `file://${bare}#v1:app` })
    expect(await found(image)).toBe('.\n./Dockerfile\n./file\n')
    expect((await failure(Image.build({ context: `file://${bare}#main:out` }))).message).toContain('no directory of')
    expect((await failure(Image.build({ context: `file://${bare}#nothing` }))).code).toBe('ERR_CAISSON_FILE')
  })

  withBusybox('is never left by links', async () => {
    const outside = contextOf({ secret: 'outside' })
    const context = contextOf({ 'd/file': 'in' })
    symlinkSync(path.join(outside, 'secret'), path.join(context, 'link'))
    symlinkSync(outside, path.join(context, 'dir'))
    symlinkSync('../../../../../../../etc/passwd', path.join(context, 'up'))
    const { image } = await build('COPY . /all', { context })
    expect(await inside(image, 'test -h /all/link && test -h /all/dir && cat /all/dir/secret 2>&1')).toContain(
      'No such',
    )
    for (const source of ['link', 'dir/secret', 'dir', 'up', '../secret']) {
      const error = await failure(build(`COPY ${source} /x`, { context }))
      expect([source, error.code, error.location?.line]).toEqual([source, 'ERR_CAISSON_DOCKERFILE', 2])
    }
    symlinkSync(path.join(outside, 'secret'), path.join(context, 'Dockerfile'))
    const error = await failure(Image.build({ context }))
    expect(error.message).toContain('link out of the context')
    expect(error.message).not.toContain('in\n')
  })

  withBusybox('may hold sockets, which are left out, and pipes, which nobody opens', async () => {
    const context = contextOf({ file: 'x' })
    const server = createServer().listen(path.join(context, 'socket'))
    await new Promise((resolve) => server.once('listening', resolve))
    execFileSync('mkfifo', [path.join(context, 'pipe')])
    try {
      const { image } = await build('COPY . /all', { context })
      expect(await found(image)).toBe('.\n./file\n./pipe\n')
      expect(await inside(image, 'test -p /all/pipe && echo pipe')).toBe('pipe\n')
    } finally {
      server.close()
    }
  })

  asOrdinary('with what cannot be read is an error that names it, unless it is left out', async () => {
    const context = contextOf({ 'closed/file': '', 'secret.txt': '', fine: '' })
    chmodSync(path.join(context, 'secret.txt'), 0)
    const error = await failure(build('COPY . /all', { context }))
    expect([error.code, error.cause]).toMatchObject(['ERR_CAISSON_FILE', { code: 'EACCES', path: 'secret.txt' }])
    await build('COPY fine /all', { context })
    chmodSync(path.join(context, 'closed'), 0)
    expect((await failure(build('COPY . /all', { context }))).message).toContain('closed')
    writeFileSync(path.join(context, '.dockerignore'), 'closed\nsecret.txt\n')
    await build('COPY . /all', { context })
    chmodSync(path.join(context, 'closed'), 0o755)
  })

  withBusybox('that lacks a file says so, with what may have been meant', async () => {
    const context = contextOf({ 'package.json': '{}' })
    mkdirSync(path.join(context, 'src'))
    const error = await failure(build('COPY pakage.json /', { context }))
    expect(error.message).toContain('did you mean package.json?')
    expect(error.location).toMatchObject({ line: 2 })
    expect((await failure(Image.build({ context }))).message).toContain('there is no Dockerfile')
    expect((await failure(Image.build({ context: '/no/such/place' }))).code).toBe('ERR_CAISSON_FILE')
    expect((await failure(build('FROM box:1', { tagg: 'x' } as object))).message).toContain('there is no option tagg')
  })
})
