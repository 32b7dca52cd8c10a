// Builds a small web server from a Dockerfile, runs it, and asks it for its page. No daemon, nothing fetched: the base
// image is this machine's static busybox.
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Container, Image, Wait } from 'caisson'

const DOCKERFILE = `
FROM box AS pages
COPY --chmod=u=rwX,go=rX pages/ /pages/
RUN for page in /pages/*; do sed -i "s/@TITLE@/Built by caisson/" $page; done

FROM box
ARG PORT=8000
ENV PORT=$PORT
RUN --mount=type=secret,id=token test -s /run/secrets/token && echo "the secret was here" > /status
COPY --from=pages /pages /srv
USER 1000
EXPOSE $PORT
CMD ["sh", "-c", "exec httpd -f -p $PORT -h /srv"]
`

/** A root file system of one program. */
function busyboxRoot(directory) {
  mkdirSync(path.join(directory, 'bin'), { recursive: true })
  copyFileSync('/bin/busybox', path.join(directory, 'bin/busybox'))
  for (const name of ['sh', 'sed', 'test', 'httpd', 'cat']) symlinkSync('busybox', path.join(directory, 'bin', name))
  return directory
}

const place = mkdtempSync(path.join(tmpdir(), 'caisson-build-'))
try {
  mkdirSync(path.join(place, 'context/pages'), { recursive: true })
  writeFileSync(path.join(place, 'context/pages/index.html'), '<h1>@TITLE@</h1>\n')
  const image = await Image.build({
    context: path.join(place, 'context'),
    dockerfile: { text: DOCKERFILE },
    contexts: { box: await Image.fromRootfs(busyboxRoot(path.join(place, 'box'))) },
    secrets: { token: 'not in the image' },
    tag: 'example/web:1',
    onProgress(event) {
      if (event.type === 'step' && event.status !== 'started') console.log(`${event.status.padEnd(6)} ${event.title}`)
    },
  })
  const server = await Container.create(image)
  await server.start()
  await server.waitFor(Wait.port(8000))
  const socket = await server.connect(8000)
  socket.end('GET / HTTP/1.0\r\n\r\n')
  let answer = ''
  for await (const chunk of socket) answer += chunk
  console.log(answer.split('\r\n\r\n')[1].trim())
  console.log((await server.exec(['cat', '/status'])).stdout.trim())
  await server.remove({ force: true })
  await image.remove({ force: true })
} finally {
  rmSync(place, { recursive: true, force: true })
}
