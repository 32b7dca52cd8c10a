/** Builds as people have them: packages of Debian, a compiler, npm; and servers that answer. */
import { execFileSync } from 'node:child_process'
import path from 'node:path'
import { Container, run, Wait } from '../../../lib/index.js'
import { build, contextOf, removeBuilds } from '../../support/build.js'
import { noDebian, storeDebian } from '../../support/debian.js'
import { noRegistry, startRegistry } from '../../support/docker-registry.js'
import { noDocker, startDockerd } from '../../support/dockerd.js'
import { findProgram, testIf } from '../../support/needs.js'
import { scratch } from '../../support/tree.js'

process.env.CAISSON_ROOT = scratch()
const MINUTES = 60_000
const BASE = 'debian:12'
const withDebian = testIf(noDebian)
const withReaders = testIf(
  noDebian || (!findProgram('skopeo') && 'no skopeo') || (!findProgram('podman') && 'no podman'),
)

const withDockerd = testIf(noDebian || noRegistry || noDocker)

/** One layer for all: mirrors are slow. */
const PACKAGES = `FROM ${BASE} AS packages
ENV DEBIAN_FRONTEND=noninteractive
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked --mount=type=cache,target=/var/lib/apt/lists,sharing=locked \\
    rm -f /etc/apt/apt.conf.d/docker-clean && apt-get update -q && \\
    apt-get install -qy --no-install-recommends gcc libc6-dev nginx-light redis-server
`

beforeAll(async () => {
  if (!noDebian) await storeDebian(BASE)
}, 5 * MINUTES)
afterAll(removeBuilds, 5 * MINUTES)

/** What a server says to this. */
async function ask(container: Container, port: number, question: string): Promise<string> {
  const socket = await container.connect(port)
  socket.end(question)
  let answer = ''
  for await (const chunk of socket) answer += chunk
  return answer
}

describe('a build on Debian', () => {
  withDebian(
    'compiles a C program, of which scratch gets nothing else',
    async () => {
      const context = contextOf({
        'main.c': '#include <stdio.h>\nint main(void) { puts(GREETING); return 0; }\n',
      })
      const { image } = await build(
        `${PACKAGES}
FROM packages AS compile
ARG GREETING=hello
COPY main.c /src/
RUN gcc -O2 -static -DGREETING="\\"$GREETING\\"" -o /program /src/main.c
FROM scratch
COPY --from=compile /program /
ENTRYPOINT ["/program"]
`,
        { context, args: { GREETING: 'built' }, network: 'host' },
      )
      expect(image.layers).toHaveLength(1)
      expect((await run(image)).stdout).toBe('built\n')
    },
    5 * MINUTES,
  )

  withDebian(
    'installs nginx and redis, which answer',
    async () => {
      const { image, steps } = await build(
        `${PACKAGES}
RUN echo 'it answers' > /var/www/html/index.html && useradd -m somebody
EXPOSE 80 6379
CMD redis-server --daemonize yes --bind 127.0.0.1 && exec nginx -g 'daemon off;'
`,
        { network: 'host' },
      )
      expect(steps[0]).toMatch(/cached$/)
      await using server = await Container.create(image)
      await server.start()
      await server.waitFor(Wait.port(80))
      await server.waitFor(Wait.port(6379))
      expect(await ask(server, 80, 'GET / HTTP/1.0\r\n\r\n')).toMatch(/^HTTP\/1.1 200 OK[\s\S]*it answers\n$/)
      expect(await ask(server, 6379, 'SET key value\r\nGET key\r\nQUIT\r\n')).toBe('+OK\r\n$5\r\nvalue\r\n+OK\r\n')
    },
    5 * MINUTES,
  )

  withReaders('is read by skopeo and podman', async () => {
    const { image } = await build(`FROM ${BASE}\nRUN useradd app\nUSER app\nLABEL made=here\nCMD ["id", "-un"]\n`, {
      tag: 'readers:1',
      compression: 'gzip',
    })
    const directory = scratch()
    const archive = path.join(directory, 'image.tar')
    await image.save(archive, { format: 'docker' })
    const inspected = JSON.parse(
      execFileSync('skopeo', ['inspect', '--config', `oci:${process.env.CAISSON_ROOT}:docker.io/library/readers:1`], {
        encoding: 'utf8',
      }),
    )
    expect(inspected.config).toMatchObject({ User: 'app', Labels: { made: 'here' } })
    const podman = [
      '--root',
      path.join(directory, 'root'),
      '--runroot',
      path.join(directory, 'run'),
      '--storage-driver',
      'vfs',
    ]
    execFileSync('podman', [...podman, 'load', '-q', '-i', archive], { stdio: 'pipe' })
    const [found] = JSON.parse(
      execFileSync('podman', [...podman, 'image', 'inspect', 'readers:1'], { encoding: 'utf8' }),
    )
    expect([found.Id, found.Config.User, found.RootFS.Layers.length]).toEqual([image.id.slice(7), 'app', 2])
    execFileSync('podman', [...podman, 'rmi', '-af'], { stdio: 'pipe' })
  })

  withDockerd(
    'is loaded, fetched and run by dockerd',
    async () => {
      await using registry = await startRegistry()
      await using dockerd = await startDockerd(path.join(scratch(), 'docker'))
      const name = `${registry.host}/team/app:1`
      const context = contextOf({ 'sub/file': 'copied', run: '#!/bin/sh\nid -un; cat /app/sub/file /made\n' })
      const text = `FROM ${BASE}
RUN useradd app && echo made > /made && rm /etc/motd && ln -s /made /link
COPY --chmod=755 . /app/
WORKDIR /work
USER app
ENTRYPOINT ["/app/run"]
`
      const { image } = await build(text, { tag: name, push: true, context })
      const archive = path.join(scratch(), 'image.tar')
      const plain = (await build(text, { tag: 'plain:1', context })).image
      await plain.save(archive, { format: 'docker' })
      await dockerd.docker('load', '-q', '-i', archive)
      await dockerd.docker('pull', '-q', name)
      for (const [ref, { id }] of [
        [name, image],
        ['plain:1', plain],
      ] as const) {
        const [found] = JSON.parse(await dockerd.docker('image', 'inspect', ref))
        expect([found.Id, found.Config.User, found.Config.WorkingDir]).toEqual([id, 'app', '/work'])
        expect(await dockerd.docker('run', '--rm', '--network', 'none', ref)).toBe('app\ncopiedmade\n')
      }
      const look = ['--entrypoint', 'sh', name, '-c', 'test ! -e /etc/motd && readlink /link']
      expect(await dockerd.docker('run', '--rm', '--network', 'none', ...look)).toBe('/made\n')
    },
    5 * MINUTES,
  )
})
