/** Where builds get files from. */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { createServer as createHttpServer } from 'node:http'
import { type AddressInfo, connect, createServer } from 'node:net'
import path from 'node:path'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import { Image } from '../../../lib/index.js'
import { build, contextOf, failure, inside, removeBuilds, storeBox } from '../../support/build.js'
import { folder, noBusybox, tar } from '../../support/busybox-image.js'
import { freePort } from '../../support/docker-registry.js'
import { findProgram, isRoot, testIf } from '../../support/needs.js'
import { scratch } from '../../support/tree.js'

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

/** With a link out of it, and one commit that is tagged v1. */
function repository(files: Record<string, string>) {
  const work = contextOf(files)
  symlinkSync('/etc', path.join(work, 'out'))
  const git = Object.assign(
    (...args: string[]) =>
      execFileSync('git', ['-c', 'user.name=t', '-c', 'user.email=t@t', ...args], { cwd: work, stdio: 'pipe' }),
    { work },
  )
  git('init', '-q', '-b', 'main')
  git('add', '.')
  git('commit', '-q', '-m', 'one')
  git('tag', 'v1')
  const bare = path.join(scratch(), 'app.git')
  git('clone', '-q', '--bare', '.', bare)
  return { bare, git }
}

async function fileServer(directory: string) {
  const server = createHttpServer((request, response) => {
    const file = path.join(directory, new URL(request.url ?? '', 'http://x').pathname)
    if (!existsSync(file) || statSync(file).isDirectory()) return void response.writeHead(404).end()
    response.end(readFileSync(file))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    address: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: async () => void server.close(),
  }
}

async function gitDaemon(directory: string) {
  const port = await freePort()
  const words = [
    'daemon',
    '--export-all',
    `--base-path=${directory}`,
    '--listen=127.0.0.1',
    `--port=${port}`,
    directory,
  ]
  const child = spawn('git', words, { stdio: 'ignore', detached: true })
  for (let attempt = 0; attempt < 200; attempt++) {
    const socket = connect(port, '127.0.0.1')
    const there = await once(socket, 'connect').then(
      () => true,
      () => false,
    )
    socket.destroy()
    if (there) break
    await sleep(25)
  }
  return {
    address: `git://127.0.0.1:${port}`,
    // It is a program that git starts.
    [Symbol.asyncDispose]: async () => void process.kill(-(child.pid as number), 'SIGKILL'),
  }
}

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

  withBusybox('may have images of an OCI layout beside it', async () => {
    const one = (await build('RUN echo one > /which', { tag: 'layout:one' })).image
    const two = (await build('RUN echo two > /which', { tag: 'layout:latest' })).image
    const directory = scratch()
    const file = path.join(scratch(), 'images.tar')
    await Image.saveAll([one, two], file, { format: 'oci' })
    execFileSync('tar', ['-xf', file, '-C', directory])
    await Promise.all([one, two].map((image) => image.remove({ force: true })))
    await Image.pruneBuildCache()
    const which = async (address: string) => {
      const contexts = { other: `oci-layout://${address}` }
      const { image } = await build('FROM other\nCOPY --from=other /which /copied\n', { contexts })
      return inside(image, 'cat /which /copied')
    }
    expect(await which(directory)).toBe('two\ntwo\n')
    expect(await which(`${directory}:one`)).toBe('one\none\n')
    expect(await which(`${path.relative('.', directory)}@${one.digest}`)).toBe('one\none\n')
    expect(await which(`${directory}:one@${one.digest}`)).toBe('one\none\n')
    expect(await Image.list({ reference: 'layout' })).toEqual([])

    const refused = (contexts: string) =>
      failure(build('FROM other', { contexts: { other: `oci-layout://${contexts}` } }))
    for (const wrong of [':three', `:one@${two.digest}`, `@sha256:${'0'.repeat(64)}`]) {
      const { code, hint, message } = await refused(directory + wrong)
      expect([code, message, hint]).toEqual([
        'ERR_CAISSON_IMAGE_ARCHIVE',
        expect.stringContaining('has no such image'),
        expect.stringContaining('layout:one'),
      ])
    }
    expect((await refused('/no/such/place')).code).toBe('ERR_CAISSON_IMAGE_ARCHIVE')
    // What is in a place of a digest must be what it says, and is never a link to a file of the host.
    const layer = path.join(directory, 'blobs/sha256', `${two.layers.at(-1)?.digest}`.slice(7))
    const bytes = readFileSync(layer)
    await Image.prune({ all: false })
    await Image.pruneBuildCache()
    writeFileSync(layer, Buffer.from(bytes).fill(1, 100, 101))
    expect((await refused(directory)).message).toContain('what came is sha256:')
    rmSync(layer)
    const outside = path.join(scratch(), 'outside')
    writeFileSync(outside, bytes)
    symlinkSync(outside, layer)
    expect((await refused(directory)).message).toContain('is missing')
  })

  withGit("may be a repository, and never the caller's own", async () => {
    const { bare } = repository({ 'app/Dockerfile': ALL, 'app/file': 'committed' })
    const image = await Image.build({ context: `file://${bare}#v1:app` })
    expect(await found(image)).toBe('.\n./Dockerfile\n./file\n')
    // As in a hook of his.
    const own = repository({ 'own/file': 'mine' })
    const head = () => readFileSync(path.join(own.git.work, '.git/HEAD'), 'utf8') + readdirSync(own.git.work).join()
    const before = head()
    for (const name of ['GIT_DIR', 'GIT_INDEX_FILE', 'GIT_WORK_TREE'])
      process.env[name] = path.join(own.git.work, { GIT_DIR: '.git', GIT_INDEX_FILE: '.git/index' }[name] ?? '.')
    try {
      expect(await found(await Image.build({ context: `file://${bare}#main:app` }))).toContain('./file\n')
    } finally {
      for (const name of ['GIT_DIR', 'GIT_INDEX_FILE', 'GIT_WORK_TREE']) delete process.env[name]
    }
    expect(head()).toBe(before)
    expect((await failure(Image.build({ context: `file://${bare}#main:out` }))).message).toContain('no directory of')
    expect((await failure(Image.build({ context: `file://${bare}#nothing` }))).code).toBe('ERR_CAISSON_FILE')
  })

  withGit(
    'and what ADD adds may come from a server of repositories, also one that knows no more than files',
    async () => {
      const { bare, git } = repository({ 'app/Dockerfile': ALL, 'app/file': 'tagged' })
      writeFileSync(path.join(git.work, 'app/file'), 'of the branch')
      git('commit', '-qam', 'two')
      git('push', '-q', bare, 'main')
      execFileSync('git', ['update-server-info'], { cwd: bare })
      const commit = git('rev-parse', 'v1').toString().trim()
      await using server = await fileServer(path.dirname(bare))
      await using daemon = await gitDaemon(path.dirname(bare))
      for (const address of [`${server.address}/app.git`, `${daemon.address}/app.git`]) {
        for (const [ref, content] of [
          ['v1', 'tagged'],
          ['main', 'of the branch'],
          [commit, 'tagged'],
        ])
          expect([
            address,
            ref,
            await inside(await Image.build({ context: `${address}#${ref}:app` }), 'cat /all/file'),
          ]).toEqual([address, ref, content])
        const { image } = await build(`ADD ${address}#v1:app /one
ADD --keep-git-dir=true ${address}#main /two/
ADD --checksum=${commit} ${address}#v1 /three
`)
        expect(await inside(image, 'cat /one/file /two/app/file; test -d /two/.git && ls -a /three')).toBe(
          'taggedof the branch.\n..\napp\nout\n',
        )
        const wrong = await failure(build(`ADD --checksum=${commit} ${address}#main /three`))
        expect([wrong.code, wrong.location?.line]).toEqual(['ERR_CAISSON_DIGEST', 2])
      }
    },
  )

  withBusybox('may be an archive that a server has', async () => {
    const directory = scratch()
    writeFileSync(
      path.join(directory, 'c.tar.gz'),
      gzipSync(tar({ name: 'Dockerfile', data: ALL }, { name: 'x', data: 'x' })),
    )
    await using server = await fileServer(directory)
    expect(await found(await Image.build({ context: `${server.address}/c.tar.gz` }))).toBe('.\n./Dockerfile\n./x\n')
    expect((await failure(Image.build({ context: `${server.address}/none.tar` }))).message).toContain('404')
  })

  withBusybox('may be a Dockerfile that a server has, and others by name archives that it has', async () => {
    const directory = scratch()
    const archive = (...names: string[]) => gzipSync(tar(...names.map((name) => ({ name, data: name }))))
    writeFileSync(path.join(directory, 'more.tgz'), archive('keep', 'drop'))
    const ignoring = tar(
      { name: '.dockerignore', data: 'drop\n' },
      { name: 'keep', data: 'k' },
      { name: 'drop', data: 'd' },
    )
    writeFileSync(path.join(directory, 'ignoring.tar'), ignoring)
    writeFileSync(
      path.join(directory, 'Dockerfile'),
      'FROM box:1\nCOPY --from=more . /more/\nCOPY --from=ignoring . /ignoring/\n',
    )
    await using server = await fileServer(directory)
    const image = await Image.build({
      context: `${server.address}/Dockerfile`,
      contexts: { more: `${server.address}/more.tgz`, ignoring: `${server.address}/ignoring.tar` },
    })
    expect(await inside(image, 'ls /more; ls -A /ignoring')).toBe('drop\nkeep\n.dockerignore\nkeep\n')
    const none = {
      context: `${server.address}/Dockerfile`,
      contexts: { more: `${server.address}/none`, ignoring: directory },
    }
    expect((await failure(Image.build(none))).message).toContain('404')
    const { more } = none.contexts
    expect((await failure(Image.build({ ...none, contexts: { more, ignoring: 'ftp://x/y' } }))).code).toBe(
      'ERR_CAISSON_FILE',
    )
  })

  withBusybox('is looked at again, as far as it changed', async () => {
    const files = Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`d${i % 4}/e/f${i}`, `content ${i}`]))
    const context = contextOf(files)
    const text = 'COPY --link . /all\nCOPY --link --chmod=600 d1 /modes\nCOPY --link --chown=7:8 d2 d3 /owners/\n'
    const first = await build(text, { context })
    const states = async () => (await build(text, { context })).steps.map((step) => step.replace(/.*: /, ''))
    expect(await states()).toEqual(['cached', 'cached', 'cached'])
    expect(
      await inside(first.image, 'cat /all/d1/e/f1; stat -c %a /modes/e/f1 /modes/e; stat -c %u:%g /owners/e/f2'),
    ).toBe('content 1600\n600\n7:8\n')
    // The same size, and a time that does not tell.
    const at = path.join(context, 'd1/e/f1')
    const { atime, mtime } = statSync(at)
    writeFileSync(at, 'CONTENT 1')
    utimesSync(at, atime, mtime)
    expect(await states()).toEqual(['done', 'done', 'cached'])
    chmodSync(path.join(context, 'd2/e'), 0o700)
    expect(await states()).toEqual(['done', 'cached', 'done'])
    renameSync(path.join(context, 'd3/e/f3'), path.join(context, 'd3/e/renamed'))
    const last = await build(text, { context })
    expect(await inside(last.image, 'ls /all/d3/e/renamed /owners/e/renamed; cat /modes/e/f1')).toContain('CONTENT 1')
  })

  withBusybox('that others change all the time is built as it was, or is an error that names the file', async () => {
    const context = contextOf(Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`d${i % 30}/f${i}`, 'x'])))
    const script =
      'cd "$1" && while :; do for d in d*; do rm -rf $d; mkdir $d; echo $d > $d/f; ln -sfn /etc $d/l; done; done'
    const busy = spawn('sh', ['-c', script, 'sh', context], { stdio: 'ignore', detached: true })
    try {
      const results: string[] = []
      for (let round = 0; round < 6; round++) {
        const result = await build('COPY . /all', { context, noCache: true }).catch((error) => {
          expect(error.message).toMatch(/d\d+/)
          return error.code as string
        })
        if (typeof result !== 'string')
          // The links lead to what the image has there, and not to the host's.
          expect(await inside(result.image, 'cat /all/d*/l/passwd 2>&1')).not.toContain(':0:0:root:')
        results.push(typeof result === 'string' ? result : 'built')
      }
      expect(results.filter((each) => !['built', 'ERR_CAISSON_FILE', 'ERR_CAISSON_DOCKERFILE'].includes(each))).toEqual(
        [],
      )
    } finally {
      // With what it has started: a last rm(1) would go on.
      process.kill(-(busy.pid as number), 'SIGKILL')
      await once(busy, 'exit')
    }
    expect((await build('COPY . /all', { context })).image.layers.length).toBeGreaterThan(0)
  })

  withBusybox('cannot delete what a stage has by how its files are called', async () => {
    const context = contextOf({ 'etc/.wh.passwd': '' })
    expect((await failure(build('COPY . /', { context }))).message).toContain('.wh.passwd')
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

  test('keeps nobody waiting by a pipe in the place of what is read first', async () => {
    const files = { Dockerfile: 'FROM scratch\nCOPY file /\n', file: '' }
    for (const name of ['Dockerfile', '.dockerignore', 'Dockerfile.dockerignore']) {
      const { [name as 'Dockerfile']: _, ...others } = files
      const context = contextOf(others)
      execFileSync('mkfifo', [path.join(context, name)])
      const error = await failure(Image.build({ context }))
      expect([name, error.code, error.message]).toEqual([
        name,
        'ERR_CAISSON_INVALID_ARGUMENT',
        expect.stringContaining(`${context}/${name}`),
      ])
    }
  })

  test('says what is left out in files of its own alone', async () => {
    const outside = contextOf({ ignored: 'file' })
    for (const name of ['.dockerignore', 'Dockerfile.dockerignore']) {
      const context = contextOf({ Dockerfile: 'FROM scratch\nCOPY file /\n', file: '' })
      symlinkSync(path.join(outside, 'ignored'), path.join(context, name))
      expect((await failure(Image.build({ context }))).message).toContain('link out of the context')
    }
    const context = contextOf({ Dockerfile: 'FROM scratch\nCOPY file /\n', file: '', ignored: 'file' })
    symlinkSync('ignored', path.join(context, '.dockerignore'))
    expect((await failure(Image.build({ context }))).message).toContain('file')
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

  test.each([
    { context: 5 },
    { dockerfile: { file: 'x' } },
    { target: 5 },
    { tag: ['a', 5] },
    { args: ['A=1'] },
    { args: { PORT: 80 } },
    { labels: 'a=b' },
    { secrets: { key: 5 } },
    { contexts: { other: 5 } },
    { output: 'directory' },
    { output: { type: 'zip', dest: 'x' } },
    { output: { type: 'local' } },
    { onProgress: 'plain' },
  ])('and options of another type are refused: %j', async (options) => {
    expect((await failure(Image.build(options as object))).code).toBe('ERR_CAISSON_INVALID_ARGUMENT')
  })
})
