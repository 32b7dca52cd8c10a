/** What a project comes to, as a file: read again, it is the same project. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { stringify } from 'yaml'
import { canonical } from '../../../lib/compose/field.js'
import { enabledServices } from '../../../lib/compose/project.js'
import { SERVICE_FIELDS } from '../../../lib/compose/service-fields.js'
import { writtenProject } from '../../../lib/compose/write.js'
import { compose } from '../../../lib/index.js'
import { loadProject } from '../../../lib/project/load.js'

const directory = mkdtempSync(path.join(tmpdir(), 'caisson-compose-'))
afterAll(() => rmSync(directory, { recursive: true }))

/** Every field of a service, in the forms that are kept in another one. */
const FIELDS: Record<string, unknown> = {
  attach: false,
  blkio_config: {
    weight: 300,
    device_read_bps: [{ path: '/dev/sda', rate: '12mb' }],
    weight_device: [{ path: '/dev/sda', weight: 500 }],
  },
  build: {
    context: './dir',
    args: { A: '1', PASSED: null },
    secrets: [{ source: 'key', target: 'k', mode: '0400' }],
    ssh: ['default=/agent'],
    additional_contexts: { base: './base', image: 'docker-image://x' },
    extra_hosts: ['a=10.0.0.1'],
    shm_size: '64m',
    tags: ['t:1'],
  },
  cap_add: ['NET_ADMIN'],
  cap_drop: ['ALL'],
  cgroup: 'private',
  command: 'sh -c "echo $$HOME"',
  configs: ['plain', { source: 'plain', target: '/etc/plain', uid: '5', gid: '6', mode: '0440' }],
  container_name: 'one',
  cpu_period: 100000,
  cpu_quota: 50000,
  cpu_shares: 512,
  cpus: 1.5,
  cpuset: '0',
  depends_on: { other: { condition: 'service_healthy', required: false, restart: true } },
  deploy: {
    replicas: 1,
    resources: { limits: { cpus: '0.5', memory: '50M', pids: 9 } },
    restart_policy: { condition: 'on-failure', max_attempts: 2 },
  },
  devices: ['/dev/null:/dev/other:r'],
  dns: '10.0.0.53',
  dns_opt: ['ndots:2'],
  dns_search: ['corp.test'],
  domainname: 'corp.test',
  entrypoint: ['/bin/sh', '$$x'],
  env_file: [{ path: './a.env', required: false, format: 'raw' }, './b.env'],
  environment: { A: 'x$$y', place: 'here', EMPTY: '', OURS: null, NUMBER: 0x10 },
  expose: ['80'],
  extra_hosts: { six: '::1', four: '10.0.0.2' },
  group_add: ['9'],
  healthcheck: { test: 'true', interval: '1m30s', timeout: '500ms', start_period: '2s', retries: 3 },
  hostname: 'h',
  image: 'i:1',
  init: true,
  ipc: 'shareable',
  label_file: './labels',
  labels: ['a=b', 'c'],
  links: ['other'],
  logging: { driver: 'json-file', options: { 'max-size': '10m', 'max-file': '3' } },
  mac_address: '02:00:00:00:00:01',
  mem_limit: '64m',
  mem_reservation: '32m',
  mem_swappiness: 10,
  memswap_limit: -1,
  networks: { place: { aliases: ['x'], ipv4_address: '10.9.0.5', priority: 5 }, default: null },
  oom_score_adj: -5,
  pid: 'service:other',
  pids_limit: 50,
  platform: 'linux/amd64',
  ports: ['8080:80', '127.0.0.1:9000-9001:90-91/udp', '70', '8000-8009:60', '[::1]:81:81'],
  privileged: false,
  profiles: ['p'],
  pull_policy: 'if_not_present',
  read_only: true,
  restart: 'on-failure:4',
  scale: 1,
  secrets: ['key'],
  security_opt: ['no-new-privileges:true'],
  shm_size: '1g',
  stdin_open: true,
  stop_grace_period: '1m',
  stop_signal: 'SIGINT',
  storage_opt: { size: '1g' },
  sysctls: { 'net.core.somaxconn': 10 },
  tmpfs: ['/a', '/b:size=1m,ro,exec', '/c:mode=0750,uid=7,gid=0'],
  tty: true,
  ulimits: { nofile: { soft: 10, hard: 20 }, nproc: 5 },
  user: '1:2',
  userns_mode: 'host',
  uts: 'host',
  volumes: [
    './x:/x:ro',
    'data:/data',
    '/anonymous',
    { type: 'tmpfs', target: '/t', tmpfs: { size: '5m', mode: '0700' } },
  ],
  volumes_from: ['other:ro', 'container:far'],
  working_dir: '/w',
}
/** Those that no file has beside the ones above. */
const APART: Record<string, Record<string, unknown>> = {
  network_mode: { network_mode: 'service:other', networks: undefined, ports: undefined },
  'x-egress': { 'x-egress': ['example.org:443'], networks: undefined, ports: undefined },
}
const WITHOUT = ['develop']

const file = (fields: Record<string, unknown>) => ({
  services: { s: fields, other: { image: 'o' }, off: { image: 'x', profiles: ['never'] } },
  networks: {
    default: { driver_opts: { 'com.docker.network.driver.mtu': 1400 } },
    place: { ipam: { config: [{ subnet: '10.9.0.0/24', gateway: '10.9.0.1' }] }, labels: ['a=b'] },
  },
  volumes: { data: { labels: { a: 'b$$c' } }, kept: { external: true, name: 'elsewhere' } },
  secrets: { key: { content: 'a $$ b' } },
  configs: { plain: { file: './plain' } },
})

async function roundTrip(fields: Record<string, unknown>): Promise<void> {
  const env = { PASSED: 'on', OURS: 'own', place: 'x' }
  const at = path.join(directory, 'compose.yaml')
  writeFileSync(at, stringify(file(fields)))
  const first = await loadProject(at, { projectName: 'p', env, profiles: ['p'] })
  const written = writtenProject(first.model, enabledServices(first.model, first.profiles))
  const other = path.join(directory, 'elsewhere.yaml')
  writeFileSync(other, stringify(written, { compat: 'yaml-1.1' }))
  // Nothing of it depends on where it lies, or on variables.
  const second = await loadProject(other, { env: {}, profiles: ['p'] })
  expect(second.model.name).toBe('p')
  expect([...second.model.services.keys()]).toEqual(['s', 'other'])
  for (const name of ['s', 'other'])
    expect(JSON.parse(canonical(second.model.services.get(name)))).toEqual(
      JSON.parse(canonical(first.model.services.get(name))),
    )
  for (const kind of ['networks', 'volumes', 'secrets', 'configs'] as const)
    expect(canonical([...second.model[kind]])).toBe(canonical([...first.model[kind]]))
}

test('every field is tried', () => {
  const tried = [...Object.keys(FIELDS), ...Object.keys(APART), ...WITHOUT]
  expect(tried.sort()).toEqual(Object.keys(SERVICE_FIELDS).sort())
})

test('all fields', () => roundTrip(FIELDS))

test.each(Object.keys(APART))('%s', (name) => roundTrip({ ...FIELDS, ...APART[name], links: undefined }))

test('words that older YAML reads as something else are quoted, and paths are whole', async () => {
  const project = await compose(
    { services: { s: { image: 'i', environment: { A: 'yes', B: '0o10' }, volumes: ['./x:/x'] } } },
    { projectName: 'p' },
  )
  expect(project.config()).toEqual({
    name: 'p',
    services: {
      s: {
        image: 'i',
        environment: { A: 'yes', B: '0o10' },
        volumes: [{ type: 'bind', source: path.resolve('x'), target: '/x', bind: { create_host_path: true } }],
      },
    },
    networks: { default: {} },
  })
  expect(() => project.config({ services: ['none'] })).toThrow(
    expect.objectContaining({ code: 'ERR_CAISSON_INVALID_ARGUMENT' }),
  )
})

test('what every object has is no variable', async () => {
  const environment = { A: '${constructor:-none}', B: '<$toString>', C: '${__proto__+set}', valueOf: null }
  for (const env of [undefined, {}]) {
    const { model, warnings } = await loadProject({ services: { s: { image: 'i', environment } } }, { env })
    expect(model.services.get('s')?.environment).toEqual({ A: 'none', B: '<>', C: '', valueOf: undefined })
    expect(warnings).toEqual(['the variable toString is not set; it is taken as empty'])
  }
  const env = { constructor: 'mine' } as never
  const { model } = await loadProject({ services: { s: { image: 'i', environment } } }, { env })
  expect(model.services.get('s')?.environment?.A).toBe('mine')
})

test('what is called place is compared as anything else', () => {
  expect(canonical({ environment: { place: 'a' } })).not.toBe(canonical({ environment: { place: 'b' } }))
  expect(canonical({ a: 1, place: { path: 'services.s' } })).toBe(canonical({ a: 1 }))
})

test.each([[{ profile: ['p'] }], [{ profiles: 'p' }], [{ envFiles: '.env' }], [{ env: 5 }], [null]])(
  'options of compose(): %p',
  async (options) => {
    await expect(loadProject({ services: { a: { image: 'i' } } }, options as never)).rejects.toMatchObject({
      code: 'ERR_CAISSON_INVALID_ARGUMENT',
    })
  },
)
