/** Builds as people have them, with hundreds of packages: what was built is run, and a real client speaks to it. */
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { Container, type Image, run, Wait } from '../../../lib/index.js'
import { build, contextOf, removeBuilds } from '../../support/build.js'
import { noDebian, storeDebian } from '../../support/debian.js'
import { testIf } from '../../support/needs.js'
import { largeScratch } from '../../support/tree.js'

process.env.CAISSON_ROOT = largeScratch(6 * 2 ** 30)
const MINUTES = 60_000
const withDebian = testIf(noDebian)

/** Machines behind a proxy that looks into TLS have an authority of their own, which commands of npm must know. */
const authorities = { ca: { file: '/etc/ssl/certs/ca-certificates.crt' } }
const npm = (command: string) => `RUN --mount=type=secret,id=ca npm ${command} --cafile=/run/secrets/ca`

const install = (packages: string) => `FROM debian:12
ENV DEBIAN_FRONTEND=noninteractive
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked --mount=type=cache,target=/var/lib/apt/lists,sharing=locked \\
    rm -f /etc/apt/apt.conf.d/docker-clean && apt-get update -q && apt-get install -qy --no-install-recommends ${packages}
`

beforeAll(async () => {
  if (!noDebian) await storeDebian('debian:12')
}, 5 * MINUTES)
afterAll(removeBuilds, 5 * MINUTES)

/** Runs the image with its own command until the port answers. */
async function serve(image: Image, port: number): Promise<Container> {
  const server = await Container.create(image)
  await server.start()
  await server.waitFor(Wait.port(port, { timeout: 2 * MINUTES }))
  return server
}

async function get(server: Container, port: number): Promise<string> {
  const socket = await server.connect(port)
  socket.end('GET / HTTP/1.0\r\n\r\n')
  let answer = ''
  for await (const chunk of socket) answer += chunk
  return answer
}

/** What a client says, in a container of its own beside the server. */
async function client(image: Image, server: Container, command: string[]): Promise<string> {
  const { stdout, stderr, exitCode } = await run(image, command, { network: server })
  expect([exitCode, stderr]).toEqual([0, ''])
  return stdout
}

const PAGE = `const server = require('node:http').createServer((request, response) => response.end('a page for ' + require('left-pad')('you', 5)))
server.listen(2368)
`
const application = () =>
  contextOf({
    'package.json': JSON.stringify({
      name: 'page',
      version: '1.0.0',
      scripts: { start: 'node server.js' },
      dependencies: { 'left-pad': '1.3.0' },
    }),
    'package-lock.json': JSON.stringify({
      name: 'page',
      version: '1.0.0',
      lockfileVersion: 3,
      packages: {
        '': { name: 'page', version: '1.0.0', dependencies: { 'left-pad': '1.3.0' } },
        'node_modules/left-pad': {
          version: '1.3.0',
          integrity: 'sha512-XI5MPzVNApjAyhQzphX8BkmKsKUxD4LdyK24iZeQGinBN9yTQT3bFlCBy/aVx2HrNcqQGsdot8ghrjyrvMCoEA==',
        },
      },
    }),
    'server.js': PAGE,
    'node_modules/.keep': '',
    '.dockerignore': 'node_modules\n',
  })

describe('a build with many packages', () => {
  withDebian(
    'installs Node and npm, and ends in a page on port 2368',
    async () => {
      const { image } = await build(
        `FROM debian:12
RUN apt-get update -yq && apt-get install curl gnupg nodejs npm -yq && apt-get clean -y
ADD . /app/
WORKDIR /app
${npm('install')}
EXPOSE 2368
VOLUME /app/logs
CMD npm run start
`,
        { context: application(), network: 'host', secrets: authorities },
      )
      expect(image.config).toMatchObject({ ExposedPorts: { '2368/tcp': {} }, Volumes: { '/app/logs': {} } })
      await using server = await serve(image, 2368)
      expect(await client(image, server, ['curl', '-s', 'http://127.0.0.1:2368/'])).toBe('a page for   you')
    },
    14 * MINUTES,
  )

  withDebian(
    'installs what an application locks in one stage, and runs it in another',
    async () => {
      const { image, steps } = await build(
        `${install('nodejs npm').replace('debian:12', 'debian:12 AS modules')}
WORKDIR /app
COPY package.json package-lock.json ./
RUN --mount=type=secret,id=ca --mount=type=cache,target=/root/.npm npm ci --omit=dev --cafile=/run/secrets/ca
${install('nodejs')}
WORKDIR /app
COPY --from=modules /app/node_modules node_modules
COPY . .
USER www-data
CMD ["node", "server.js"]
`,
        { context: application(), network: 'host', secrets: authorities },
      )
      expect(steps.filter((step) => step.startsWith('RUN'))).toHaveLength(3)
      await using server = await serve(image, 2368)
      expect(await get(server, 2368)).toMatch(/^HTTP\/1.1 200 OK[\s\S]*a page for {3}you$/)
      expect((await run(image, ['sh', '-c', 'command -v npm || id -un'])).stdout).toBe('www-data\n')
    },
    14 * MINUTES,
  )

  withDebian(
    'installs MariaDB, which keeps rows',
    async () => {
      const { image } = await build(
        `${install('mariadb-server')}
RUN install -d -o mysql /run/mysqld && sed -i 's/^bind-address.*/bind-address = 127.0.0.1/' /etc/mysql/mariadb.conf.d/50-server.cnf
RUN mariadbd-safe --skip-networking & mariadb-admin --wait=60 ping && \\
    mariadb -e "CREATE DATABASE shop; CREATE USER shop@'127.0.0.1' IDENTIFIED BY 'secret'; GRANT ALL ON shop.* TO shop@'127.0.0.1'" && \\
    mariadb-admin shutdown
VOLUME /var/lib/mysql
EXPOSE 3306
USER mysql
CMD ["mariadbd"]
`,
        { network: 'host' },
      )
      await using server = await serve(image, 3306)
      const mariadb = (sql: string) =>
        client(image, server, ['mariadb', '-h127.0.0.1', '-ushop', '-psecret', '-N', 'shop', '-e', sql])
      await mariadb('CREATE TABLE things (name TEXT); INSERT INTO things VALUES ("lamp"), ("chair")')
      expect(await mariadb('SELECT name FROM things ORDER BY name')).toBe('chair\nlamp\n')
    },
    14 * MINUTES,
  )

  withDebian(
    'compiles a Java program, which answers from an image without the compiler',
    async () => {
      const context = contextOf({
        'Server.java': readFileSync(path.resolve(__dirname, '../../support/programs/Server.java'), 'utf8'),
      })
      const { image } = await build(
        `${install('default-jdk-headless').replace('debian:12', 'debian:12 AS compile')}
COPY Server.java /src/
RUN javac -d /classes /src/Server.java
${install('default-jre-headless')}
COPY --from=compile /classes /classes
EXPOSE 8080
CMD ["java", "-Xmx64m", "-cp", "/classes", "Server"]
`,
        { context, network: 'host' },
      )
      await using server = await serve(image, 8080)
      expect(await get(server, 8080)).toMatch(/^HTTP\/1.1 200 OK[\s\S]*Java 17 says hello\n$/)
      expect((await run(image, ['sh', '-c', 'command -v javac || echo none'])).stdout).toBe('none\n')
    },
    14 * MINUTES,
  )

  withDebian(
    'installs redis, whose own client gets back what it kept',
    async () => {
      const { image } = await build(`${install('redis')}\nEXPOSE 6379\nUSER redis\nCMD ["redis-server"]\n`, {
        network: 'host',
      })
      await using server = await serve(image, 6379)
      const redis = (...words: string[]) => client(image, server, ['redis-cli', ...words])
      expect(await redis('set', 'key', 'value')).toBe('OK\n')
      expect(await redis('get', 'key')).toBe('value\n')
    },
    14 * MINUTES,
  )
})
