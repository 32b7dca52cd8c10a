/** A project as people have it: nginx of Debian before a program that counts in redis, asked by a real client. */
import { execFileSync } from 'node:child_process'
import path from 'node:path'
import { build, removeBuilds } from '../../support/build.js'
import { noDebian, storeDebian } from '../../support/debian.js'
import { findProgram, isRoot, testIf } from '../../support/needs.js'
import { scratch } from '../../support/tree.js'

process.env.CAISSON_ROOT = scratch()
const MINUTES = 60_000
const missing =
  (!isRoot && 'bridge networks are for root') ||
  noDebian ||
  (!findProgram('curl') && 'no curl') ||
  (!findProgram('ip') && 'no ip(8)')
const it = testIf(missing)

const PROJECT = {
  name: 'shop',
  services: {
    web: {
      image: 'servers:1',
      command: ['nginx', '-g', 'daemon off;'],
      ports: ['8080:80'],
      configs: [{ source: 'site', target: '/etc/nginx/sites-enabled/default' }],
      depends_on: { app: { condition: 'service_healthy' } },
      stop_signal: 'SIGQUIT',
    },
    app: {
      image: 'servers:1',
      command: ['sh', '-c', 'exec perl /app.pl'],
      environment: { STORE: 'db:6379' },
      configs: [{ source: 'app', target: '/app.pl' }],
      healthcheck: {
        test: ['CMD', 'perl', '-MIO::Socket::INET', '-e', 'exit !IO::Socket::INET->new("127.0.0.1:9000")'],
        interval: '200ms',
        retries: 50,
      },
      depends_on: { db: { condition: 'service_healthy' } },
      stop_grace_period: '100ms',
    },
    db: {
      image: 'servers:1',
      command: ['redis-server', '--dir', '/data', '--protected-mode', 'no', '--bind', '0.0.0.0'],
      volumes: ['data:/data'],
      healthcheck: { test: 'redis-cli ping', interval: '200ms', retries: 50 },
    },
  },
  volumes: { data: null },
  configs: {
    site: { content: 'server { listen 80; location / { proxy_pass http://app:9000; } }\n' },
    app: {
      content: `use strict; use IO::Socket::INET;
my $$server = IO::Socket::INET->new(LocalPort => 9000, Listen => 9, ReuseAddr => 1) or die;
while (my $$client = $$server->accept) {
  while (<$$client>) { last if /^\\r?\\n$$/ }
  my $$store = IO::Socket::INET->new($$ENV{STORE}) or next;
  print $$store "INCR visits\\r\\n"; my $$count = <$$store>; $$count =~ s/[^0-9]//g;
  print $$client "HTTP/1.0 200 OK\\r\\nContent-Type: text/plain\\r\\n\\r\\nvisits $$count\\n"; close $$client;
}
`,
    },
  },
}

const SCRIPT = `
const { compose } = await import('./dist/index.js')
const { execFileSync } = await import('node:child_process')
const ask = () => execFileSync('curl', ['-s', '-m', '5', 'http://127.0.0.1:8080/'], { encoding: 'utf8' }).trim()
for (const volumes of [false, true]) {
  const project = await compose(JSON.parse(process.argv[1]))
  await project.up()
  try {
    for (let i = 0; i < 100; i++) try { ask(); break } catch { await new Promise((resolve) => setTimeout(resolve, 50)) }
    console.log(ask())
  } finally {
    await project.down({ volumes })
  }
}
`

beforeAll(async () => {
  if (missing) return
  await storeDebian('debian:12')
  await build(
    `FROM debian:12
RUN --mount=type=cache,target=/var/cache/apt,sharing=locked --mount=type=cache,target=/var/lib/apt/lists,sharing=locked \\
    rm -f /etc/apt/apt.conf.d/docker-clean && apt-get update -q && \\
    DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends nginx-light redis-server
`,
    { network: 'host', tag: 'servers:1' },
  )
}, 5 * MINUTES)
afterAll(removeBuilds, 5 * 60_000)

it(
  'nginx, a program and redis; what redis has written is there the next time',
  async () => {
    const args = ['--net', 'sh', '-c', 'ip link set lo up && exec "$@"', 'sh', process.execPath, '--input-type=module']
    const out = execFileSync('unshare', [...args, '-e', SCRIPT, JSON.stringify(PROJECT)], {
      cwd: path.resolve(__dirname, '../../..'),
      encoding: 'utf8',
      env: process.env,
      timeout: MINUTES,
    })
    const [first = 0, second = 0] = [...out.matchAll(/^visits (\d+)$/gm)].map(([, count]) => Number(count))
    expect(first).toBeGreaterThan(0)
    expect(second).toBeGreaterThan(first)
  },
  2 * MINUTES,
)
