/** Dockerfiles and stages that attack the machine that builds them, and builds that are ended at any moment. */
import { execFileSync } from 'node:child_process'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import { download } from '../../lib/build/download.js'
import { Workspace } from '../../lib/build/workspace.js'
import { type BuildOptions, Container, Image, verifyStore } from '../../lib/index.js'
import { imageRoots } from '../../lib/runtime/image/roots.js'
import { owner } from '../../lib/runtime/process/owner.js'
import { build, contextOf, failure, inside, removeBuilds, storeBox } from '../support/build.js'
import { busyboxLayer, noBusybox } from '../support/busybox-image.js'
import { findProgram, isRoot, testIf } from '../support/needs.js'
import { serve } from '../support/servers.js'
import { makeImage, storeImage } from '../support/store-images.js'
import { scratch } from '../support/tree.js'

process.env.CAISSON_ROOT = scratch()
const withBusybox = testIf(noBusybox)
const withGit = testIf(noBusybox || (!findProgram('git') && 'no git'))
const asRoot = testIf(noBusybox || (!isRoot && 'only root mounts a disk'))
const busybox = findProgram('busybox')
const victim = scratch()

beforeAll(async () => {
  if (!noBusybox) await storeBox()
  writeFileSync(path.join(victim, 'file'), 'untouched')
  mkdirSync(path.join(victim, 'empty'))
})
afterAll(removeBuilds)

/** What builds have under way on disk. */
async function left(): Promise<string[]> {
  const { data, run } = await owner()
  return [data, run].flatMap((place) => {
    const builds = path.join(place, 'builds')
    return existsSync(builds) ? readdirSync(builds) : []
  })
}

const unharmed = () => [readdirSync(victim).sort(), readFileSync(path.join(victim, 'file'), 'utf8')]

afterEach(async () => {
  expect(await left()).toEqual([])
  expect(await Container.list()).toEqual([])
  expect(unharmed()).toEqual([['empty', 'file'], 'untouched'])
})

describe('a hostile Dockerfile', () => {
  withGit('fetches nothing with the keys and passwords of who builds it, but with the agent that is lent', async () => {
    const address = 'git@example.invalid:x/y.git'
    // What the caller named, with a repository in it that is named by whoever wrote that one.
    const repository = path.join(scratch(), 'theirs.git')
    const git = (...args: string[]) =>
      execFileSync('git', ['-c', 'user.name=x', '-c', 'user.email=x', ...args], { cwd: repository, stdio: 'pipe' })
    mkdirSync(repository)
    git('init', '--quiet')
    writeFileSync(path.join(repository, 'Dockerfile'), 'FROM scratch\nCOPY . /\n')
    writeFileSync(path.join(repository, '.gitmodules'), `[submodule "mine"]\npath = mine\nurl = ${address}\n`)
    git('add', '.')
    git('update-index', '--add', '--cacheinfo', `160000,${'1'.repeat(40)},mine`)
    git('commit', '--quiet', '-m', 'x')
    const programs = scratch()
    const log = path.join(programs, 'log')
    const told = 'agent=$SSH_AUTH_SOCK home=$HOME askpass=$SSH_ASKPASS$GIT_ASKPASS'
    writeFileSync(path.join(programs, 'ssh'), `#!/bin/sh\necho "$@ ${told}" >> ${log}\nexit 1\n`, { mode: 0o755 })
    const own = {
      PATH: `${programs}:${process.env.PATH}`,
      HOME: '/mine/home',
      SSH_AUTH_SOCK: '/mine/agent',
      SSH_ASKPASS: '/mine/askpass',
      GIT_ASKPASS: '/mine/askpass',
      GIT_SSH_COMMAND: 'ssh -i /mine/key',
    }
    const before = Object.keys(own).map((name) => [name, process.env[name]] as const)
    const asked = async (work: Promise<unknown>) => {
      rmSync(log, { force: true })
      await failure(work)
      return readFileSync(log, 'utf8')
    }
    Object.assign(process.env, own)
    try {
      expect(await asked(Image.build({ context: address }))).toMatch(/-i \/mine\/key.* agent=\/mine\/agent/)
      const context = `file://${repository}`
      const ways = [
        (options: Partial<BuildOptions>) => build(`ADD ${address} /y\n`, options),
        (options: Partial<BuildOptions>) => Image.build({ context, ...options }),
        (options: Partial<BuildOptions>) => build('COPY --from=c / /y\n', { contexts: { c: context }, ...options }),
      ]
      for (const way of ways) {
        const theirs = await asked(way({}))
        expect(theirs).toMatch(/-F none .*IdentityFile=none .*IdentityAgent=none .*agent= /)
        expect(theirs).not.toContain('/mine')
        const lent = await asked(way({ ssh: { default: '/lent' } }))
        expect(lent).toMatch(/IdentityFile=none .*IdentityAgent=SSH_AUTH_SOCK .*agent=\/lent /)
      }
    } finally {
      for (const [name, value] of before)
        if (value === undefined) delete process.env[name]
        else process.env[name] = value
    }
  })

  withBusybox('cannot fill the disk with nothing: holes of files, which are zeros in a layer', async () => {
    const hollow = (size: string, file: string) => `busybox truncate -s ${size} ${file}`
    const { image } = await build(`RUN ${hollow('1M', '/few')}\n`)
    expect(await inside(image, 'wc -c < /few')).toBe('1048576\n')
    for (const command of [hollow('3G', '/a'), `${hollow('700M', '/a')} && ${hollow('700M', '/b')}`]) {
      const error = await failure(build(`RUN ${command}\n`))
      expect([error.code, error.message]).toEqual(['ERR_CAISSON_LAYER_LIMIT', expect.stringMatching(/[ab]: .*holes/)])
    }
    // In the context, in an archive that is unpacked, in a stage, and for a mount.
    const context = contextOf({ 'sub/x': 'x' })
    truncateSync(path.join(context, 'sub/x'), 3 * 2 ** 30)
    execFileSync('tar', ['-C', context, '-S', '-cf', path.join(context, 'small.tar'), 'sub'])
    const layer = readFileSync(path.join(context, 'small.tar'))
    expect(layer.length).toBeLessThan(100_000)
    const evil = makeImage([busyboxLayer(), layer], {})
    await storeImage((await imageRoots()).store, evil, 'docker.io/library/hollow:1')
    for (const text of [
      'COPY sub /sub',
      'COPY sub/x small.tar /sub/',
      'ADD small.tar /sub/',
      'COPY --from=hollow:1 /sub /sub',
      'RUN --mount=type=bind,from=hollow:1,source=/sub,target=/s true',
      'RUN --mount=type=bind,source=sub,target=/s true',
    ])
      expect([text, (await failure(build(`${text}\n`, { context }))).message]).toEqual([
        text,
        expect.stringContaining('holes of more than 1 GiB'),
      ])
    // What is read, and not written, may have them.
    const { steps } = await build('COPY small.tar /\n', { context })
    expect(steps).toEqual(['COPY small.tar /: done'])
  })

  test('takes neither the time nor the memory of who builds it by millions of short lines', async () => {
    const many = (line: string) => line.repeat((15 * 2 ** 20) / line.length)
    const contexts: Array<Record<string, string>> = [
      { Dockerfile: `FROM scratch\n${many('RUN a\n')}` },
      { Dockerfile: `FROM scratch\n${many('LABEL a=b\n')}` },
      { Dockerfile: 'FROM scratch\nCOPY x /\n', x: 'x', '.dockerignore': many('a\n') },
      { Dockerfile: 'FROM scratch\nCOPY x /\n', x: 'x', '.dockerignore': many('?\n') },
    ]
    for (const files of contexts) {
      const context = contextOf(files)
      const [before, began] = [process.memoryUsage().rss, performance.now()]
      const error = await failure(Image.build({ context, network: 'none' }))
      expect(error.code).toMatch(/^ERR_CAISSON_(DOCKERFILE|INVALID_ARGUMENT)$/)
      expect(performance.now() - began).toBeLessThan(5000)
      expect(process.memoryUsage().rss - before).toBeLessThan(400 * 2 ** 20)
    }
  }, 60_000)

  test('cannot fill the disk from an address that never ends', async () => {
    await using server = await serve((request, response) => {
      const length: Record<string, string> = request.url === '/long' ? { 'content-length': String(2 ** 50) } : {}
      response.writeHead(200, length)
      const more = () => response.destroyed || response.write(Buffer.alloc(65536), () => setImmediate(more))
      more()
    })
    const limit = { code: 'ERR_CAISSON_LAYER_LIMIT' }
    const text = `FROM scratch\nADD http://${server.host}/long /\n`
    await expect(Image.build({ dockerfile: { text } })).rejects.toMatchObject(limit)
    await using space = new Workspace(new AbortController().signal)
    const most = 8 * 1024 * 1024
    await expect(download(space, `http://${server.host}/`, { namedBy: 'dockerfile', most })).rejects.toMatchObject(
      limit,
    )
  })

  withBusybox('cannot have a cache mount lead to the host (CVE-2024-23651)', async () => {
    const text = (command: string) => `RUN --mount=type=cache,id=race,source=/tree,from=evil,target=/c ${command}
`
    const evil = `FROM box:1 AS evil
RUN ln -s ${victim} /tree
FROM box:1
`
    const error = await failure(build(evil + text('echo x > /c/file')))
    expect(error.code).toMatch(/^ERR_CAISSON/)
    const race = `FROM box:1
RUN --mount=type=cache,id=swap,target=/c rm -rf /c/dir; ln -s ${victim} /c/dir
RUN --mount=type=cache,id=swap,target=/c --mount=type=cache,id=other,target=/c/dir ls /c/dir; echo owned > /c/dir/file
`
    await build(race).catch(() => undefined)
  })

  withBusybox('cannot have a place for a mount removed outside (CVE-2024-23652)', async () => {
    const { image } = await build(`FROM box:1
RUN ln -s ${victim} /evil
RUN --mount=type=bind,source=/etc,from=box:1,target=/a/b rm -rf /a 2>&1; ln -s ${victim}/empty /a2; true
`)
    expect(await inside(image, 'readlink /evil')).toBe(`${victim}\n`)
    const through = 'RUN --mount=type=tmpfs,target=/evil/empty rm -rf /evil/empty/..'
    expect((await failure(build(`RUN ln -s ${victim} /evil\n${through}`))).code).toMatch(/^ERR_CAISSON/)
  })

  withBusybox('gets no privileges that nobody granted (CVE-2024-23653)', async () => {
    for (const flag of ['--security=insecure', '--network=host']) {
      const error = await failure(build(`RUN ${flag} true`))
      expect([error.code, error.location?.line]).toEqual(['ERR_CAISSON_UNSUPPORTED', 2])
    }
    const { output } = await build('RUN grep CapEff /proc/self/status; cat /proc/1/comm')
    expect(output).toContain('00000000a80425fb')
  })

  withBusybox('that is malformed is an error, and no crash (CVE-2024-23650)', async () => {
    for (const text of [
      '',
      'FROM',
      'FROM box:1\nRUN --mount=',
      'FROM box:1\nCOPY --from=9 a b',
      'FROM a\nFROM b AS a',
      '\0',
    ])
      expect((await failure(Image.build({ dockerfile: { text }, pull: 'never' }))).code).toMatch(/^ERR_CAISSON/)
  })

  withBusybox('cannot copy out of a stage into the host, or the host into a stage', async () => {
    const { image } = await build(`FROM box:1 AS evil
RUN ln -s ${victim} /dir && ln -s ../../../../../../..${victim}/file /file && ln -s loop /loop
FROM box:1
COPY --from=evil /dir /d
RUN true
`).catch((error) => {
      expect(error.code).toBe('ERR_CAISSON_DOCKERFILE')
      return build('RUN true')
    })
    expect(await inside(image, 'cat /d/file 2>&1')).not.toContain('untouched')
    for (const name of ['file', 'loop'])
      await expect(
        build(`FROM box:1 AS evil
RUN ln -s ../../../../../../..${victim}/file /file && ln -s loop /loop
FROM box:1
COPY --from=evil /${name} /x
`),
      ).rejects.toMatchObject({ code: 'ERR_CAISSON_DOCKERFILE' })
    await build(`FROM box:1
RUN ln -s ${victim} /out
COPY <<EOF /out/file
overwritten
EOF
`)
  })

  withBusybox('cannot leave processes, or see others', async () => {
    const { output } = await build('RUN (sleep 1000 &) ; ls /proc | grep -c "^[0-9]"')
    expect(Number(output)).toBeLessThan(8)
  })
})

describe('a build that is cancelled', () => {
  withBusybox('at any moment leaves nothing, and the next one works', async () => {
    const context = contextOf(Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`f${i}`, 'x'.repeat(5000)])))
    const text = `FROM box:1 AS one
COPY . /all
RUN dd if=/dev/zero of=/big bs=1k count=3000 2>/dev/null; sleep 0.1
FROM box:1
RUN --mount=type=secret,id=s sleep 0.2
COPY --from=one /all /all
`
    for (const after of [0, 5, 20, 40, 60, 90, 130, 200, 300]) {
      const abort = new AbortController()
      setTimeout(() => abort.abort(new Error('enough')), after)
      const work = build(text, { context, noCache: true, secrets: { s: 'x' }, signal: abort.signal })
      const result = await work.then(
        () => 'built',
        (error) => error.code,
      )
      expect([after, ['built', 'ERR_CAISSON_ABORTED'].includes(result), result]).toEqual([after, true, result])
      expect(await left()).toEqual([])
    }
    const { image } = await build(text, { context, secrets: { s: 'x' } })
    expect(await inside(image, 'ls /all | wc -l')).toMatch(/200/)
    expect(await verifyStore()).toMatchObject({ ok: true })
  })

  withBusybox('does not harm one that goes on', async () => {
    const abort = new AbortController()
    const endless = failure(build('RUN sleep 1000', { signal: abort.signal, noCache: true }))
    const other = build('RUN sleep 0.5; echo done', { noCache: true })
    setTimeout(() => abort.abort(), 200)
    expect((await endless).code).toBe('ERR_CAISSON_ABORTED')
    expect((await other).output).toBe('done\n')
  })

  withBusybox('by the failure of one stage ends the others', async () => {
    const began = performance.now()
    const error = await failure(
      build(`FROM box:1 AS slow
RUN sleep 1000
FROM box:1 AS bad
RUN exit 5
FROM box:1
COPY --from=slow /etc/passwd /a
COPY --from=bad /etc/passwd /b
`),
    )
    expect(error.message).toContain('exit code: 5')
    expect(performance.now() - began).toBeLessThan(10_000)
  })
})

asRoot('a disk that is full ends a build with an error that says so, and the next one works', async () => {
  const [disk, context, rootfs] = [scratch(), scratch(), scratch()]
  writeFileSync(path.join(context, 'large'), Buffer.alloc(12_000_000, 'x'))
  mkdirSync(path.join(rootfs, 'bin'))
  copyFileSync(busybox as string, path.join(rootfs, 'bin/busybox'))
  for (const name of ['sh', 'cat']) symlinkSync('busybox', path.join(rootfs, 'bin', name))
  const script = path.resolve(__dirname, '../support/build-full.mjs')
  const shell = 'mount -t tmpfs -o size=10m,mode=755 tmpfs "$1" && CAISSON_ROOT="$1" exec "$2" "$3" "$4" "$5"'
  const words = ['-m', 'sh', '-c', shell, 'sh', disk, process.execPath, script, context, rootfs]
  expect(JSON.parse(execFileSync('unshare', words, { encoding: 'utf8' }))).toEqual({
    copy: 'ERR_CAISSON_RESOURCE_EXHAUSTED true',
    command: 'ERR_CAISSON_COMMAND_FAILED false',
    small: 'built',
    verified: true,
  })
})
