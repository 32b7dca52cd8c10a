/** Contexts that are fetched: repositories, and what servers have. */
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer as createHttpServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { gzipSync } from 'node:zlib'
import { Image } from '../../../lib/index.js'
import { boxForTests, build, contextOf, failure, inside } from '../../support/build.js'
import { noBusybox, tar } from '../../support/busybox-image.js'
import { freePort } from '../../support/docker-registry.js'
import { findProgram, testIf } from '../../support/needs.js'
import { scratch } from '../../support/tree.js'

boxForTests()
const withBusybox = testIf(noBusybox)
const withGit = testIf(noBusybox || (!findProgram('git') && 'no git'))

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
})
