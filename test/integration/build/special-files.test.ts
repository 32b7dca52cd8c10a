/** Links, sockets and pipes in a context. */
import { execFileSync } from 'node:child_process'
import { symlinkSync } from 'node:fs'
import { createServer } from 'node:net'
import path from 'node:path'
import { Image } from '../../../lib/index.js'
import { boxForTests, build, contextOf, failure, inside } from '../../support/build.js'
import { noBusybox } from '../../support/busybox-image.js'
import { testIf } from '../../support/needs.js'

boxForTests()
const withBusybox = testIf(noBusybox)

const found = (image: Image) => inside(image, 'cd /all && find . | sort')

describe('a context', () => {
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
})
