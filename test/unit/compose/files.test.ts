import { readFileSync } from 'node:fs'
import path from 'node:path'
import { containerOptions } from '../../../lib/compose/options.js'
import { enabledServices, startOrder } from '../../../lib/compose/project.js'
import { RESOURCES } from '../../../lib/compose/resources.js'
import { SERVICE_FIELDS, SERVICE_REFUSED } from '../../../lib/compose/service-fields.js'
import { onePlatform } from '../../../lib/project/images.js'
import { ComposeFiles } from '../../support/compose-files.js'

let files: ComposeFiles
beforeEach(() => {
  files = new ComposeFiles()
})
afterEach(() => files.remove())

const service = async (text: string, env = {}) => {
  const { model } = await files.load(`services:\n  s:\n    image: i\n${text.replace(/^/gm, '    ')}`, env)
  return model.services.get('s') as NonNullable<ReturnType<typeof model.services.get>>
}
const options = async (text: string, env = {}) => {
  const about = {
    env: {},
    labels: {},
    network: (name: string) => `p_${name}`,
    volume: (name: string) => `p_${name}`,
  }
  return containerOptions(await service(text, env), about)
}

test.each([
  'network_mode: service:NAME',
  'ipc: service:NAME',
  'pid: service:NAME',
  'volumes_from: [NAME]',
  'depends_on: [NAME]',
  'links: [NAME]',
])('services may have names of what every object has by itself: %s', async (text) => {
  for (const name of ['__proto__', 'constructor', 'toString']) {
    const field = text.replace('NAME', name)
    await expect(service(field)).rejects.toThrow(`there is no service "${name}"`)
    const { model } = await files.load(`services: { s: { image: i, ${field} }, ${name}: { image: j } }\n`)
    expect(Object.keys(model.services.get('s')?.dependencies ?? {})).toEqual([name])
    expect(startOrder(model.services).map(({ name }) => name)).toEqual([name, 's'])
  }
})

test.each(['scale: 1000000000', 'deploy: { replicas: 1000000000 }'])(
  'more containers than there can be: %s',
  async (text) => {
    await expect(service(text)).rejects.toMatchObject({ code: 'ERR_CAISSON_COMPOSE', location: { line: 2 } })
  },
)

test('a field of others that is almost one of ours is a warning', async () => {
  const warned = async (text: string) => (await files.load(`services: { s: { image: i, ${text} } }\n`)).warnings
  expect(await warned('x-egres: [a.test]')).toEqual(['services.s.x-egres says nothing (did you mean x-egress?)'])
  expect(await warned('x-Egress: [a.test]')).toHaveLength(1)
  expect(await warned('x-egress: [a.test], x-note: a, x-e: b')).toEqual([])
})

test('an image is built for all its platforms, and brought up in one', async () => {
  const own = process.arch === 'arm64' ? 'linux/arm64' : 'linux/amd64'
  const built = await service(`build: { context: ., platforms: [linux/s390x, ${own}] }`)
  expect(built.build?.platforms).toEqual(['linux/s390x', own])
  expect(onePlatform(built)).toBe(own)
  expect(onePlatform(await service('build: { context: ., platforms: [linux/s390x, linux/riscv64] }'))).toBe(
    'linux/s390x',
  )
  expect(onePlatform(await service('build: .\nplatform: linux/s390x'))).toBe('linux/s390x')
  expect(onePlatform(await service('build: .'))).toBeUndefined()
  const other = 'build: { context: ., platforms: [linux/s390x] }\nplatform: linux/riscv64'
  await expect(service(other)).rejects.toThrow('it is not built for its platform, linux/riscv64')
})

test.each(['depends_on: { __proto__: { condition: service_healthy } }', 'networks: { __proto__: { aliases: [a] } }'])(
  'what has an unusual name is not left out: %s',
  async (text) => {
    await expect(service(text)).rejects.toThrow(/there is no (service|network) "__proto__"/)
  },
)

describe('a service as options of a container', () => {
  test.each<[string, object]>([
    ['command: sh -c "a b"', { command: ['sh', '-c', 'a b'] }],
    ['command: [a, 1, true]', { command: ['a', '1', 'true'] }],
    ['entrypoint: []', { entrypoint: [] }],
    ['stdin_open: true\ntty: true', { stdinOpen: true, tty: true }],
    ['dns_search: corp.test\ndns_opt: ["ndots:2"]', { dnsSearch: ['corp.test'], dnsOptions: ['ndots:2'] }],
    ['dns_search: [a.test, b.test]', { dnsSearch: ['a.test', 'b.test'] }],
    ['logging: {driver: none}', { logLimit: 0 }],
    ['logging: {driver: json-file, options: {max-size: 10m, max-file: "3"}}', { logLimit: 30 * 1024 ** 2 }],
    ['logging: {driver: local, options: {max-size: 1m}}', { logLimit: 5 * 1024 ** 2 }],
    [
      'environment: {A: 1.0, B: "x", C: true, D: , E: ""}',
      { env: { A: '1.0', B: 'x', C: 'true', D: undefined, E: '' } },
    ],
    ['environment: [A=1, B, C=]', { env: { A: '1', B: 'host', C: '' } }],
    ['environment: ["A=$${B} ${B}"]', { env: { A: '${B} host' } }],
    ['labels: [a=b, c]', { labels: { a: 'b', c: '' } }],
    [
      'user: 1000:1000\nworking_dir: /w\nhostname: h\ninit: true\ntty: true\nread_only: yes',
      { user: '1000:1000', workdir: '/w', hostname: 'h', init: true, tty: true, readOnly: true },
    ],
    ['stop_signal: SIGINT\nstop_grace_period: 1m30s', { stopSignal: 'SIGINT', stopTimeout: 90_000 }],
    ['restart: no', { restart: 'no' }],
    ['restart: on-failure:3', { restart: { onFailure: 3 } }],
    ['restart: on-failure', { restart: { onFailure: 0 } }],
    ['restart: unless-stopped', { restart: 'unless-stopped' }],
    ['deploy: {restart_policy: {condition: on-failure, max_attempts: 2}}', { restart: { onFailure: 2 } }],
    [
      'mem_reservation: 32m\nmem_swappiness: 0\nblkio_config: { weight: 10, weight_device: [{ path: /dev/sda, weight: 1000 }] }',
      {
        limits: {
          memoryReservation: 33554432,
          memorySwappiness: 0,
          io: { weight: 1, devices: [{ path: '/dev/sda', weight: 10_000 }] },
        },
      },
    ],
    ['mem_limit: 64m\ncpus: "0.5"\npids_limit: 9', { limits: { memory: 67108864, cpus: 0.5, pids: 9 } }],
    [
      'deploy: {resources: {limits: {cpus: "1.5", memory: 1gb, pids: 5}}}',
      { limits: { memory: 1073741824, cpus: 1.5, pids: 5 } },
    ],
    ['cpu_quota: 50000\ncpu_shares: 512\ncpuset: 0,1', { limits: { cpus: 0.5, cpuWeight: 50, cpuset: '0,1' } }],
    ['ulimits: {nofile: {soft: 1, hard: 2}, nproc: 3}', { ulimits: { nofile: { soft: 1, hard: 2 }, nproc: 3 } }],
    [
      'cap_add: [NET_ADMIN]\ncap_drop: [ALL]\nsecurity_opt: [no-new-privileges:false, seccomp:unconfined]',
      {
        security: {
          capabilities: { add: ['NET_ADMIN'], drop: ['ALL'] },
          noNewPrivileges: false,
          seccomp: 'unconfined',
        },
      },
    ],
    [
      'sysctls: [net.core.somaxconn=9]\nshm_size: 1m\ntmpfs: /t:size=1m,mode=755,uid=1009,gid=0',
      {
        sysctls: { 'net.core.somaxconn': '9' },
        shmSize: 1048576,
        mounts: [{ type: 'tmpfs', target: '/t', size: 1048576, mode: 0o755, uid: 1009, gid: 0 }],
      },
    ],
    ['ports: ["80"]', { ports: [{ container: 80, protocol: 'tcp', address: '*' }] }],
    ['ports: ["8080:80/udp"]', { ports: [{ container: 80, host: 8080, protocol: 'udp', address: '*' }] }],
    [
      'ports: ["127.0.0.1:8080:80", "[::1]:81:80"]',
      {
        ports: [
          { container: 80, host: 8080, protocol: 'tcp', address: '127.0.0.1' },
          { container: 80, host: 81, protocol: 'tcp', address: '::1' },
        ],
      },
    ],
    [
      'ports: ["90-91:80-81"]',
      {
        ports: [
          { container: 80, host: 90, protocol: 'tcp', address: '*' },
          { container: 81, host: 91, protocol: 'tcp', address: '*' },
        ],
      },
    ],
    ['ports: ["9000-9010:80"]', { ports: [{ container: 80, host: '9000-9010', protocol: 'tcp', address: '*' }] }],
    [
      'ports: [{target: 80, published: "${P}", host_ip: 10.0.0.1, protocol: udp, mode: host}]',
      { ports: [{ container: 80, host: 8088, protocol: 'udp', address: '10.0.0.1' }] },
    ],
    ['network_mode: none', { network: 'none' }],
    ['network_mode: host', { network: 'host' }],
    ['dns: 1.1.1.1\nextra_hosts: {a: 10.0.0.1, b: "::1"}', { dns: ['1.1.1.1'], extraHosts: ['a=10.0.0.1', 'b=::1'] }],
    ['extra_hosts: ["a:10.0.0.1", "b=[::1]"]', { extraHosts: ['a=10.0.0.1', 'b=::1'] }],
    ['extra_hosts: ["a:host-gateway"]', { extraHosts: ['a=host-gateway'] }],
    [
      'healthcheck: {test: "curl x", interval: 1s, retries: 2, start_period: 100ms}',
      { healthcheck: { test: ['CMD-SHELL', 'curl x'], interval: 1000, retries: 2, startPeriod: 100 } },
    ],
    ['healthcheck: {disable: true}', { healthcheck: false }],
    ['healthcheck: {test: [NONE]}', { healthcheck: false }],
    [
      'pid: host\nipc: host\nuts: host\nuserns_mode: host\nprivileged: true',
      { namespaces: { pid: 'host', ipc: 'host', uts: 'host' }, security: { userns: 'host', privileged: true } },
    ],
    [
      'group_add: [1, a]\noom_score_adj: -5\nplatform: linux/arm64\npull_policy: if_not_present\ndevices: [/dev/fuse]',
      { groups: ['1', 'a'], oomScoreAdj: -5, platform: 'linux/arm64', pull: 'missing', devices: ['/dev/fuse'] },
    ],
    ['', { networks: [{ network: 'p_default', aliases: ['s'] }] }],
  ])('%j', async (text, wanted) => {
    expect(await options(text, { B: 'host', P: '8088' })).toMatchObject(wanted)
  })

  test('mounts in both forms', async () => {
    files.put({ '.env': 'HOME_OF=data\n' })
    const { model } = await files.load(`
services:
  s:
    image: i
    volumes:
      - ./$HOME_OF:/a:ro
      - named:/b
      - /c
      - {type: bind, source: ../x, target: /d, bind: {create_host_path: false, propagation: rslave}}
      - {type: volume, source: named, target: /e, read_only: true}
      - {type: tmpfs, target: /f, tmpfs: {size: 1m, mode: 0700}}
volumes: {named: }
`)
    expect(model.services.get('s')?.volumes).toMatchObject([
      { type: 'bind', source: path.join(files.directory, 'data'), target: '/a', readOnly: true, create: true },
      { type: 'volume', source: 'named', target: '/b' },
      { type: 'volume', target: '/c' },
      {
        type: 'bind',
        source: path.resolve(files.directory, '../x'),
        target: '/d',
        create: false,
        propagation: 'rslave',
      },
      { type: 'volume', source: 'named', target: '/e', readOnly: true },
      { type: 'tmpfs', target: '/f', size: 1048576, mode: 0o700 },
    ])
  })
})

describe('what is wrong is told with its place', () => {
  const of = (line: string) => `services:\n  web:\n    image: i\n    ${line}\n`
  test.each<[string, number, number, string]>([
    [of('prots: [80]'), 4, 5, 'services.web.prots: there is no field "prots" (did you mean ports?)'],
    [of('ports: [80, "x"]'), 4, 17, 'services.web.ports[1]: "x" is no port'],
    [of('ports: ["80-82:80-81"]'), 4, 13, 'differ in length'],
    [of('gpus: all'), 4, 5, 'services.web.gpus: this is not there'],
    [of('healthcheck: {interval: 30}'), 4, 29, 'services.web.healthcheck.interval: "30" has no unit'],
    [of('healthcheck: {test: [curl]}'), 4, 25, 'is none of CMD'],
    [of('init: maybe'), 4, 11, '"maybe" is neither true nor false'],
    [of('restart: sometimes'), 4, 14, '"sometimes" is not known'],
    [of('command: "a \'b"'), 4, 14, 'a quote does not end'],
    [of('mem_limit: lots'), 4, 16, '"lots" is not a number of bytes'],
    [of('volumes: [nope:/x]'), 4, 15, 'there is no volume "nope"'],
    [of('volumes: [a:b]'), 4, 15, '"b" is no absolute path'],
    [of('networks: [nope]'), 4, 16, 'there is no network "nope"'],
    [of('secrets: [nope]'), 4, 15, 'there is no secret "nope"'],
    [of('depends_on: [wbe]'), 4, 18, 'there is no service "wbe" (did you mean web?)'],
    [of('depends_on: [web]'), 4, 18, 'cannot depend on itself'],
    [of('depends_on: {web: {condition: healthy}}'), 4, 35, '"healthy" is not known'],
    [of('environment: {A: "${B:?say B}"}'), 4, 22, 'the variable B is not set: say B'],
    [of('environment: {A: {B: c}}'), 4, 22, 'a mapping is no text'],
    [of('container_name: x\n    scale: 2'), 2, 3, '2 containers cannot have one name'],
    [of('security_opt: ["apparmor:x"]'), 4, 20, '"apparmor:x" is not there'],
    [of('extends: {service: nope}'), 4, 14, 'there is no service nope'],
    [of('extends: web'), 4, 14, 'web extends itself'],
    [of('network_mode: none\n    ports: [80]'), 2, 3, 'it has ports, and the network_mode none'],
    ['services:\n  a: {command: x}\n', 2, 3, 'neither an image nor a build'],
    ['services:\n  a:\n', 2, 5, 'the service is empty'],
    ['services:\n  a: {image: i}\n  a: {image: i}\n', 3, 3, '"a" is there twice'],
    ['services:\n  a: {image: i\n', 3, 1, ''],
    ['services:\n\t- a\n', 2, 1, ''],
    ['services:\n  a: *nope\n', 2, 6, ''],
    ['services: &a\n  b: *a\n', 2, 6, 'the anchor a holds itself'],
    ['services: !!binary abc\n', 1, 20, 'no text or number'],
    ['services: {a: {image: i}}\nsecrets: {s: {}}\n', 2, 11, 'what it holds is not said'],
    ['services: {a: {image: i}}\nnetworks: {n: {driver: overlay}}\n', 2, 24, '"overlay" is not known'],
    ['services: {a: {image: i}}\nmodels: {m: {}}\n', 2, 1, 'this is not there'],
    ['services: {a: {image: i}}\ninclude: [x]\n', 2, 11, 'cannot read'],
    ['services: {a: {image: i}}\ninclude: [compose.yaml]\n', 2, 11, 'includes itself'],
    ['services: {a: {image: i}}\ninclude: [{env_file: x}]\n', 2, 11, 'the path is missing'],
    ['services: {a: {image: i}}\ninclude: ["https://x.test/y.git"]\n', 2, 11, 'is on another machine'],
    [of('logging: {driver: syslog}'), 4, 23, 'logs are not sent anywhere (syslog)'],
    [of('logging: {options: {max-size: much}}'), 4, 35, 'much'],
    [of('logging: {options: {tag: x}}'), 4, 25, 'this is not there'],
    [of('volumes_from: ["web:rx"]'), 4, 20, 'names no volumes'],
    [of('volumes_from: [wbe]'), 4, 20, 'there is no service "wbe" (did you mean web?)'],
    ['- a\n', 1, 1, 'this is no compose file'],
    ['services: {a: {image: i, depends_on: [b]}, b: {image: i, depends_on: [a]}}\n', 1, 71, 'a -> b -> a'],
  ])('%j', async (text, line, column, message) => {
    const found = await files.error(text)
    expect(found).toMatchObject({
      code: expect.stringMatching(/^ERR_CAISSON_(COMPOSE|UNSUPPORTED)$/),
      location: { line, column },
    })
    expect(found.message).toContain(message)
    expect(found.message).toMatch(new RegExp(`compose\\.yaml:${line}:${column}: `))
    expect(found.hint).not.toBe('')
  })

  test('of an object there is the path', async () => {
    const found = await files.error({ services: { web: { image: 'i', prots: [] } } })
    expect(found.message).toBe('services.web.prots: there is no field "prots" (did you mean ports?)')
    expect(found.location).toBeUndefined()
  })

  test('depth and size are bounded, and keys of JavaScript are plain keys', async () => {
    expect((await files.error(`services: ${'['.repeat(5000)}`)).code).toBe('ERR_CAISSON_COMPOSE')
    expect((await files.error(`x-a: ${'[x,'.repeat(100)}${']'.repeat(100)}\n`)).message).toContain('too deeply')
    const bomb = Array.from({ length: 40 }, (_, i) => `x-${i}: &a${i} [${i === 0 ? 'x' : Array(9).fill(`*a${i - 1}`)}]`)
    expect((await files.error(`${bomb.join('\n')}\nservices: {a: {image: i}}\n`)).message).toContain('repeat too much')
    const { model } = await files.load('services: {a: {image: i, labels: {__proto__: x, constructor: y}}}\n')
    expect(Object.keys(model.services.get('a')?.labels ?? {})).toEqual(['__proto__', 'constructor'])
    expect(({} as Record<string, unknown>).x).toBeUndefined()
  })
})

test('profiles, and the order of the start', async () => {
  const { model } = await files.load(`
services:
  web: {image: i, depends_on: [db, cache]}
  debug: {image: i, profiles: [dev], depends_on: {web: {condition: service_healthy}}}
  cache: {image: i, network_mode: service:db}
  db: {image: i}
`)
  const names = (profiles: string[], named?: string[]) => [...enabledServices(model, profiles, named).keys()]
  expect(names([])).toEqual(['web', 'cache', 'db'])
  expect(names(['dev'])).toEqual(['web', 'debug', 'cache', 'db'])
  expect(names(['*'])).toHaveLength(4)
  expect(names([], ['cache'])).toEqual(['cache', 'db'])
  expect(names([], ['debug'])).toHaveLength(4)
  expect(startOrder(model.services).map(({ name }) => name)).toEqual(['db', 'cache', 'web', 'debug'])
})

test('what is not set is a warning, once', async () => {
  const { warnings } = await files.load('services: {a: {image: "i:$TAG", command: "$TAG $OTHER"}}\n')
  expect(warnings).toEqual([
    'the variable TAG is not set; it is taken as empty',
    'the variable OTHER is not set; it is taken as empty',
  ])
})

test('docs/compose.md lists every field, and which are refused', () => {
  const text = readFileSync(path.resolve(__dirname, '../../../docs/compose.md'), 'utf8')
  const rows = [...text.matchAll(/^\| (`[^|]*`) *\| (yes|no)\b/gm)]
  const listed = (answer: string) =>
    rows
      .filter(([, , each]) => each === answer)
      .flatMap(([, names = '']) => [...names.matchAll(/`([^`]+)`/g)].map(([, name]) => name))
  const resources = Object.values(RESOURCES).flatMap(({ fields }) => Object.keys(fields))
  expect(new Set(listed('yes'))).toEqual(new Set([...Object.keys(SERVICE_FIELDS), 'extends', ...resources]))
  const refused = Object.values(RESOURCES).flatMap((each) => Object.keys(each.refused))
  expect(new Set(listed('no'))).toEqual(new Set([...Object.keys(SERVICE_REFUSED), ...refused]))
})
