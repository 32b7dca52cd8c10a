/** What builds take from the cache, and what they keep apart. */
import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { Image, storeUsage, verifyStore } from '../../../lib/index.js'
import { boxForTests, build, contextOf, inside } from '../../support/build.js'
import { noBusybox } from '../../support/busybox-image.js'
import { testIf } from '../../support/needs.js'

boxForTests()
const withBusybox = testIf(noBusybox)

const short = (steps: readonly string[]) => steps.map((step) => step.replace(/^(\w+).*: /, '$1 '))

describe('the cache of builds', () => {
  const TEXT = `COPY a /a
RUN cat /a
COPY b /b
RUN cat /b
`

  withBusybox('gives the same image again, and what depends on a change anew', async () => {
    const context = contextOf({ a: 'a', b: 'b', c: 'c' })
    const first = await build(TEXT, { context })
    expect(short(first.steps)).toEqual(['COPY done', 'RUN done', 'COPY done', 'RUN done'])
    utimesSync(path.join(context, 'a'), 1, 1)
    writeFileSync(path.join(context, 'c'), 'not copied')
    const second = await build(TEXT, { context })
    expect(short(second.steps)).toEqual(['COPY cached', 'RUN cached', 'COPY cached', 'RUN cached'])
    expect(second.image.digest).toBe(first.image.digest)
    writeFileSync(path.join(context, 'b'), 'other')
    const third = await build(TEXT, { context })
    expect(short(third.steps)).toEqual(['COPY cached', 'RUN cached', 'COPY done', 'RUN done'])
    expect(third.output).toBe('other')
    expect(short((await build(TEXT, { context, noCache: true })).steps)).not.toContain('COPY cached')
  })

  withBusybox('knows a stage by what it holds, and not by how it came about', async () => {
    const text = (command: string) => `FROM box:1 AS make
RUN ${command}
FROM box:1
COPY --from=make /out /out
RUN cat /out
`
    await build(text('echo same > /out'))
    const { steps } = await build(text('echo sa""me > /out'))
    expect(short(steps)).toEqual(['RUN done', 'COPY cached', 'RUN cached'])
  })

  withBusybox('does not make stages that nothing needs, and makes others at the same time', async () => {
    const stage = (name: string) => `FROM box:1 AS ${name}\nRUN sleep 2; echo ${name} > /${name}\n`
    const began = performance.now()
    const { steps, image } = await build(
      `${stage('one')}${stage('two')}${stage('three')}FROM box:1 AS unused\nRUN exit 1\nFROM box:1\n` +
        ['one', 'two', 'three'].map((name) => `COPY --from=${name} /${name} /\n`).join(''),
      { noCache: true },
    )
    expect(performance.now() - began).toBeLessThan(5_800)
    expect(steps).toHaveLength(6)
    expect(await inside(image, 'cat /one /two /three')).toBe('one\ntwo\nthree\n')
  })

  withBusybox('keeps what it has through collections, and gives it back when it is pruned', async () => {
    const { image } = await build('RUN echo kept > /kept')
    await image.remove({ force: true })
    await Image.prune()
    expect(short((await build('RUN echo kept > /kept')).steps)).toEqual(['RUN cached'])
    const kept = await Image.pruneBuildCache({ maxBytes: '1g' })
    expect(kept.removed).toBe(0)
    const pruned = await Image.pruneBuildCache()
    expect(pruned.removed).toBeGreaterThan(0)
    expect(short((await build('RUN echo kept > /kept')).steps)).toEqual(['RUN done'])
    expect(await verifyStore()).toMatchObject({ ok: true })
  })

  withBusybox('prunes caches of mounts with it, but not those that a command has', async () => {
    await Image.pruneBuildCache()
    const use = (id: string, command = 'true') =>
      build(
        `RUN --mount=type=cache,id=${id},target=/c,uid=1000 dd if=/dev/zero of=/c/f bs=1k count=64 2>/dev/null; ls -ln /c/f; ${command}`,
        {
          noCache: true,
        },
      )
    await use('old')
    await use('new')
    const usage = async () => (await storeUsage()).cacheMounts
    expect(await usage()).toMatchObject({ count: 2 })
    expect((await usage()).bytes).toBeGreaterThanOrEqual(128 * 1024)
    const top = path.join(process.env.CAISSON_ROOT as string, 'cache-mounts')
    const mounts = () => readdirSync(top).filter((name) => !name.endsWith('.lock'))
    const at = (id: string) => path.join(top, createHash('sha256').update(id).digest('hex'))
    utimesSync(at('old'), 1, 1)
    await Image.pruneBuildCache({ unusedFor: '1m' })
    expect(mounts()).toEqual([path.basename(at('new'))])
    // Whoever is at work with one keeps it.
    const events: string[] = []
    const working = Image.build({
      dockerfile: { text: 'FROM box:1\nRUN --mount=type=cache,id=new,target=/c echo begun; sleep 1; ls /c' },
      noCache: true,
      network: 'none',
      onProgress: (event) => void (event.type === 'output' && events.push(event.data.toString())),
    })
    while (!events.join('').includes('begun')) await new Promise((resolve) => setTimeout(resolve, 20))
    await Image.pruneBuildCache()
    await working
    expect(events.join('')).toBe('begun\nf\n')
    mkdirSync(`${at('new')}.gone-left`)
    const pruned = await Image.pruneBuildCache()
    expect(pruned.bytes).toBeGreaterThanOrEqual(64 * 1024)
    expect(readdirSync(top)).toEqual([])
    expect((await use('new')).output).toContain('65536')
    for (const wrong of [{ maxByte: '1g' }, { unusedFor: 'long' }, { maxBytes: 'much' }])
      await expect(Image.pruneBuildCache(wrong as never)).rejects.toMatchObject({
        code: 'ERR_CAISSON_INVALID_ARGUMENT',
      })
    expect(mounts()).toHaveLength(1)
  })

  withBusybox('prunes digests of files with it, those that were used last last', async () => {
    await Image.pruneBuildCache()
    const books = path.join(process.env.CAISSON_ROOT as string, 'build-digests')
    expect(readdirSync(books)).toEqual([])
    const old = contextOf({ a: 'a' })
    utimesSync(path.join(old, 'a'), 1, 1)
    const fresh = contextOf({ a: 'b' })
    // A book is written for what had settled when it was looked at.
    await new Promise((resolve) => setTimeout(resolve, 2100))
    await build('COPY a /a', { context: old })
    const [first] = readdirSync(books)
    await build('COPY a /a', { context: fresh })
    expect(readdirSync(books)).toHaveLength(2)
    // By being used again the first has become the younger one.
    utimesSync(path.join(books, first as string), 1, 1)
    await build('COPY a /a', { context: old, noCache: true })
    const unused = await Image.pruneBuildCache({ unusedFor: 60_000 })
    expect(unused.removed).toBe(0)
    const bytes = (name: string) => statSync(path.join(books, name)).size
    const [, second] = readdirSync(books).sort((a) => (a === first ? -1 : 1))
    utimesSync(path.join(books, second as string), 1, 1)
    const pruned = await Image.pruneBuildCache({ unusedFor: 60_000 })
    expect(pruned).toMatchObject({ removed: 1 })
    expect(pruned.bytes).toBeGreaterThanOrEqual(bytes(first as string))
    expect(readdirSync(books)).toEqual([first])
    await Image.pruneBuildCache()
    expect(readdirSync(books)).toEqual([])
  })

  withBusybox('with SOURCE_DATE_EPOCH two builds are one image, byte for byte', async () => {
    const context = contextOf({ 'd/file': 'content' })
    const options = { context, noCache: true, args: { SOURCE_DATE_EPOCH: '1700000000' } }
    const text = 'WORKDIR /place\nCOPY d d\nRUN echo made > made && mkdir sub\n'
    const first = await build(text, options)
    utimesSync(path.join(context, 'd/file'), 1_800_000_000, 1_800_000_000)
    const second = await build(text, options)
    expect(second.image.digest).toBe(first.image.digest)
    expect((await first.image.inspect()).created?.getTime()).toBe(1_700_000_000_000)
    expect(await inside(first.image, 'stat -c %Y /place /place/d/file /place/made /place/sub')).toBe(
      '1700000000\n'.repeat(4),
    )
  })
})

describe('mounts of a command', () => {
  withBusybox('are there for it alone, and leave nothing in the layer', async () => {
    const context = contextOf({ 'dir/file': 'shown', '.dockerignore': 'hidden', hidden: 'h' })
    const { output, image } = await build(
      `FROM box:1 AS other
RUN mkdir /o && echo of-a-stage > /o/file
FROM box:1
RUN --mount=type=bind,target=/context --mount=type=bind,from=other,source=/o,target=/o,rw \\
    --mount=type=tmpfs,target=/deep/er/tmp,size=1m \\
    cat /context/dir/file /o/file; ls /context; echo x > /o/new; ls /o; echo x 2>&1 > /context/y; \\
    dd if=/dev/zero of=/deep/er/tmp/big bs=1k count=2000 2>&1 | grep -c 'No space'
`,
      { context },
    )
    expect(output).toMatch(/^shownof-a-stage\ndir\n/)
    expect(output).toContain('file\nnew\n')
    expect(output).toMatch(/Read-only file system[\s\S]*1\n$/)
    const last = image.layers.at(-1)
    expect(await inside(image, 'ls -d /context /o /deep 2>&1')).not.toMatch(/^\//m)
    expect(last?.size).toBeLessThan(3000)
  })

  withBusybox('caches last, are shared, locked or private', async () => {
    const use = (sharing: string, n: number) =>
      build(`RUN --mount=type=cache,id=c-${sharing},target=/c,sharing=${sharing},uid=1000,mode=0700 \\
      stat -c '%u %a' /c; echo ${n} >> /c/log; sleep 0.3; cat /c/log`)
    for (const sharing of ['shared', 'locked', 'private']) {
      const outputs = (await Promise.all([use(sharing, 1), use(sharing, 2)])).map(({ output }) => output)
      for (const output of outputs) expect(output).toMatch(/^1000 700\n/)
      const lines = outputs.map((output) => output.split('\n').length)
      // Head, lines of the log, and nothing behind the last line break.
      if (sharing === 'private') expect(lines).toEqual([3, 3])
      if (sharing === 'locked') expect(lines.sort()).toEqual([3, 4])
    }
    expect((await use('shared', 3)).output).toContain('1\n')
  })

  withBusybox('secrets are in no layer, no history, no other step and no record', async () => {
    const secret = `s3cret-${Math.random().toString(36).slice(2)}`
    const { output, image } = await build(
      `RUN --mount=type=secret,id=key --mount=type=secret,id=key,target=/other,mode=0444,uid=1000 \\
      --mount=type=secret,id=key,env=KEY --mount=type=secret,id=absent \\
      grep -c s3cret /run/secrets/key && stat -c '%a %u' /run/secrets/key /other && test "$KEY" = "$(cat /other)" && echo same
RUN ls -a /run/secrets /other 2>&1; echo "[$KEY]"
`,
      { secrets: { key: secret } },
    )
    expect(output).toContain('1\n400 0\n444 1000\nsame\n')
    expect(output).toContain('[]\n')
    expect(output).not.toContain(secret)
    expect(await inside(image, 'ls /run/secrets /other 2>&1')).not.toContain('key')
    const root = process.env.CAISSON_ROOT as string
    const places = ['blobs', 'store'].map((name) => path.join(root, name))
    for (const entry of places.flatMap((place) => readdirSync(place, { recursive: true, withFileTypes: true })))
      if (entry.isFile()) {
        const file = path.join(entry.parentPath, entry.name)
        expect([file, readFileSync(file).includes(secret)]).toEqual([file, false])
      }
    await expect(build('RUN --mount=type=secret,id=none,required cat /run/secrets/none')).rejects.toMatchObject({
      code: 'ERR_CAISSON_DOCKERFILE',
      location: { line: 2 },
    })
  })

  withBusybox('secrets that a command prints are in no output, and not in its error', async () => {
    const secret = 'correct horse\nbattery-staple-0123456789\n'
    const told: string[] = []
    const error = await Image.build({
      dockerfile: {
        text: `FROM box:1
RUN --mount=type=secret,id=key cat /run/secrets/key; echo public; head -c 6 /run/secrets/key; sleep 0.2; tail -c +7 /run/secrets/key
RUN --mount=type=secret,id=key,env=KEY echo "key: $KEY." >&2; exit 3
`,
      },
      network: 'none',
      secrets: { key: secret },
      onProgress: (event) => void (event.type === 'output' && told.push(event.data.toString())),
    }).catch((failed) => failed)
    const all = `${told.join('')}${error.message}${JSON.stringify(error)}`
    expect(told.join('')).toBe('***\npublic\n***\nkey: ***\n.\n')
    expect(error.message).toContain('key: ***')
    for (const part of ['correct', 'horse', 'battery']) expect(all).not.toContain(part)
  })
})
