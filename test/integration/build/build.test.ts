/** Builds of Dockerfiles: steps, and what they leave. */
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import path from 'node:path'
import { gzipSync } from 'node:zlib'
import { Container, Image, run, verifyStore } from '../../../lib/index.js'
import { boxForTests, build, contextOf, failure, inside } from '../../support/build.js'
import { folder, noBusybox, tar } from '../../support/busybox-image.js'
import { testIf } from '../../support/needs.js'
import { digestOf } from '../../support/store-images.js'
import { scratch } from '../../support/tree.js'

boxForTests()
const withBusybox = testIf(noBusybox)

describe('a build', () => {
  withBusybox('of a context becomes an image that runs', async () => {
    const context = contextOf({
      Dockerfile: `FROM box:1
ARG WHO=nobody
ENV GREETING="hello $WHO"
WORKDIR /app
COPY . .
RUN echo "$GREETING" > made && cat src/main.txt >> made
USER app
CMD ["/bin/cat", "made"]
`,
      'src/main.txt': 'main\n',
    })
    const image = await Image.build({
      context,
      network: 'none',
      args: { WHO: 'world' },
      tag: ['first:1', 'second'],
      labels: { a: 'b' },
    })
    expect(image.tags).toEqual(['first:1', 'second:latest'])
    expect(image.config).toMatchObject({ User: 'app', WorkingDir: '/app', Labels: { a: 'b' } })
    expect((await run('second')).stdout).toBe('hello world\nmain\n')
    const history = await image.history()
    expect(history.map(({ createdBy, emptyLayer }) => [createdBy.split(' ')[0], emptyLayer])).toEqual([
      ['CMD', true],
      ['USER', true],
      ['RUN', false],
      ['COPY', false],
      ['WORKDIR', false],
      ['ENV', true],
      ['ARG', true],
      ['', false],
      ['', false],
    ])
    expect(await verifyStore()).toMatchObject({ ok: true })
  })

  withBusybox('runs commands as the user, in the directory and with the variables of their instruction', async () => {
    const { output } = await build(`ENV A=1
USER app
WORKDIR /tmp
RUN id -u; id -g; pwd; echo $A
USER 1234:5
RUN id -u; id -g
USER root
RUN ["/bin/echo", "$A"]
SHELL ["/bin/sh", "-ec"]
RUN echo $0 && hostname || true
`)
    expect(output).toContain('1000\n1001\n/tmp\n1\n')
    expect(output).toContain('1234\n5\n')
    expect(output).toContain('$A\n')
  })

  withBusybox('declares volumes, which belong to whom the image says', async () => {
    const { image } = await build(`RUN mkdir -p /own && chown app:extra /own && chmod 750 /own
VOLUME /own
USER app
CMD touch /own/x && stat -c '%u %g %a' /own
`)
    await using container = await Container.create(image)
    await container.start()
    await container.wait()
    let said = ''
    for await (const { data } of container.logs()) said += data
    expect(said).toBe('1000 1002 750\n')
    await container.remove({ volumes: true })
  })

  withBusybox('takes here-documents', async () => {
    const { image, output } = await build(`RUN <<EOF
echo one
echo two
EOF
RUN <<SCRIPT
#!/bin/sh
echo "script $0"
SCRIPT
COPY --chmod=640 <<one.txt <<"two.txt" /files/
first $PATH
one.txt
second $PATH
two.txt
`)
    expect(output).toBe('one\ntwo\nscript /dev/pipes/SCRIPT\n')
    expect(await inside(image, 'stat -c %a /files/one.txt; cat /files/one.txt /files/two.txt')).toMatch(
      /^640\nfirst \/usr.*\nsecond \$PATH\n$/,
    )
    expect(await inside(image, 'ls /dev/pipes 2>&1')).toContain('No such file')
  })

  withBusybox('copies with owners, modes, patterns and exceptions', async () => {
    const context = contextOf({ 'a.txt': 'a', 'b.txt': 'b', 'd/e/f.txt': 'f', 'd/g.log': 'g', 'x[1].txt': 'x' })
    const { image } = await build(
      `COPY --chown=app:extra --chmod=u=rwX,go=rX a.txt /one/
COPY --chown=5 *.txt /two/
COPY --parents d/e/*.txt /three/
COPY --exclude=*.log d /four
COPY --link a.txt /five/six
COPY a.txt /sbin/tool
COPY x[[]1].txt /seven
COPY d /tmp
`,
      { context },
    )
    expect(await inside(image, 'stat -c "%a %u:%g" /one /one/a.txt')).toBe('755 1000:1002\n644 1000:1002\n')
    expect(await inside(image, 'ls -a /two; stat -c %u:%g /two /two/b.txt')).toContain(
      'a.txt\nb.txt\nx[1].txt\n5:5\n5:5\n',
    )
    expect(await inside(image, 'find /three /four | sort')).toBe(
      '/four\n/four/e\n/four/e/f.txt\n/three\n/three/d\n/three/d/e\n/three/d/e/f.txt\n',
    )
    expect(await inside(image, 'cat /five/six /bin/tool /seven; ls -d /sbin/busybox; stat -c %a /tmp')).toBe(
      'aax/sbin/busybox\n755\n',
    )
  })

  withBusybox('copies from stages, images and scratch', async () => {
    const { image } = await build(`FROM box:1 AS make
RUN mkdir -p /out/sub && echo made > /out/sub/file && ln -s sub/file /out/link && chmod 750 /out/sub
USER app
RUN echo mine > /tmp/mine || true
FROM scratch AS bare
COPY --from=make /out /
FROM box:1
COPY --from=bare / /bare/
COPY --from=0 /out/link /followed
COPY --from=box:1 /etc/pass* /etc/gr?up /copied/
`)
    expect(await inside(image, 'cat /bare/sub/file /followed; stat -c %a /bare/sub; ls /copied')).toBe(
      'made\nmade\n750\ngroup\npasswd\n',
    )
    expect(await inside(image, 'test -h /bare/link && ! test -h /followed && echo yes')).toBe('yes\n')
  })

  withBusybox('adds archives, and addresses with their checksums', async () => {
    const archive = tar(folder('inner'), { name: 'inner/file', data: 'in the archive', mode: 0o600, uid: 7 })
    const context = contextOf({ 'plain.tar': '', 'zipped.data': '', 'folder/inner.tar': '', 'folder/a': 'a' })
    writeFileSync(path.join(context, 'plain.tar'), archive)
    writeFileSync(path.join(context, 'folder/inner.tar'), archive)
    writeFileSync(path.join(context, 'zipped.data'), gzipSync(archive))
    const server = createServer((request, response) => {
      if (request.url !== '/file.txt') return void response.writeHead(404).end()
      response.writeHead(200, { 'last-modified': 'Thu, 01 Jan 2015 00:00:00 GMT' }).end('from afar')
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    try {
      const { image } = await build(
        `ADD plain.tar /plain
ADD zipped.data /zipped/
ADD folder /folder
COPY plain.tar /copied.tar
ADD --checksum=${digestOf(Buffer.from('from afar'))} ${address}/file.txt /
`,
        { context },
      )
      expect(await inside(image, 'cat /plain/inner/file; stat -c "%a %u" /zipped/inner/file')).toBe(
        'in the archive600 7\n',
      )
      expect(await inside(image, 'ls /folder')).toBe('a\ninner.tar\n')
      expect(await inside(image, 'cat /file.txt; stat -c "%a %Y" /file.txt; test -f /copied.tar && echo file')).toBe(
        'from afar600 1420070400\nfile\n',
      )
      const wrong = await failure(build(`ADD --checksum=sha256:${'0'.repeat(64)} ${address}/file.txt /`))
      expect([wrong.code, wrong.location?.line]).toEqual(['ERR_CAISSON_DIGEST', 2])
      expect((await failure(build(`ADD ${address}/missing /`))).message).toContain('404')
    } finally {
      server.close()
    }
  })

  withBusybox('goes to directories and archives', async () => {
    const directory = scratch()
    const [files, archive, oci] = ['files', 'files.tar', 'image.tar'].map((name) => path.join(directory, name))
    await build('FROM scratch\nCOPY <<EOF /a/b\nhello\nEOF\n', {
      tag: 'bare:1',
      output: [
        { type: 'local', dest: files as string },
        { type: 'tar', dest: archive as string },
        { type: 'oci', dest: oci as string },
      ],
    })
    expect(readFileSync(path.join(files as string, 'a/b'), 'utf8')).toBe('hello\n')
    expect(readFileSync(archive as string).includes('hello\n')).toBe(true)
    await (await Image.get('bare:1')).remove()
    expect((await Image.load(oci as string)).tags).toEqual(['bare:1'])
  })
})

describe('a command that fails', () => {
  withBusybox('is an error with file, line, carets and the end of its output', async () => {
    const error = await failure(build('RUN true\nRUN echo out; echo err >&2; exit 7\n'))
    expect(error.code).toBe('ERR_CAISSON_COMMAND_FAILED')
    expect(error.location).toMatchObject({ file: 'Dockerfile', line: 3, column: 1 })
    expect(error.message).toMatch(/exit code: 7\nout\nerr\n/)
    expect(error.message).toContain(' 3 | RUN echo out')
  })

  withBusybox('is told of when it is not there, or took too long', async () => {
    expect((await failure(build('RUN ["/no/such"]'))).message).toContain('exit code: 127')
    expect((await failure(build('RUN sleep 100', { stepTimeout: 300 }))).message).toContain('it took too long')
    expect((await failure(build('USER nobody-here\nRUN true'))).location?.line).toBe(3)
  })

  withBusybox('that floods its output does not fill memory', async () => {
    const { events } = await build('RUN yes 0123456789abcdef | head -c 20000000')
    const bytes = events.reduce((sum, event) => sum + (event.type === 'output' ? event.data.length : 0), 0)
    expect(bytes).toBeGreaterThan(1_000_000)
    expect(bytes).toBeLessThan(3_000_000)
  })
})
