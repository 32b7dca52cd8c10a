/** What builds copy from. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdirSync, renameSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { Readable } from 'node:stream'
import { Image } from '../../../lib/index.js'
import { boxForTests, build, contextOf, failure, inside } from '../../support/build.js'
import { folder, noBusybox, tar } from '../../support/busybox-image.js'
import { isRoot, testIf } from '../../support/needs.js'

boxForTests()
const withBusybox = testIf(noBusybox)
const asOrdinary = testIf(noBusybox || (isRoot && 'root reads everything'))

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
