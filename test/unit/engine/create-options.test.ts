/** What POST /containers/create asks for, as options of a container. */
import { fieldsOf } from '../../../lib/engine/body.js'
import { createOptions } from '../../../lib/engine/create-options.js'
import { failureOf } from '../../../lib/engine/failure.js'
import type { Json } from '../../../lib/spec/json.js'

const made = (host: Json = {}, config: Json = {}) =>
  createOptions(fieldsOf({ Image: 'box', ...config, HostConfig: host }))

const HOST: Array<[host: Json, options: object]> = [
  [{ Memory: 64 << 20 }, { limits: { memory: 64 << 20 } }],
  [{ Memory: 0, NanoCpus: 0, PidsLimit: null, MemorySwappiness: -1, OomKillDisable: false }, {}],
  [{ Memory: 1 << 26, MemorySwap: -1 }, { limits: { memory: 1 << 26, memorySwap: -1 } }],
  [{ NanoCpus: 1_500_000_000 }, { limits: { cpus: 1.5 } }],
  [{ CpuQuota: 50_000 }, { limits: { cpus: 0.5 } }],
  [{ CpuShares: 512, CpusetCpus: '0-1' }, { limits: { cpuWeight: 50, cpuset: '0-1' } }],
  [{ PidsLimit: 10 }, { limits: { pids: 10 } }],
  [
    { Binds: ['/a:/b:ro', 'data:/c'] },
    {
      mounts: [
        { type: 'bind', source: '/a', target: '/b', readOnly: true },
        { type: 'volume', source: 'data', target: '/c' },
      ],
    },
  ],
  [
    { Mounts: [{ Type: 'tmpfs', Target: '/t', TmpfsOptions: { SizeBytes: 4096, Mode: 448 } }] },
    { mounts: [{ type: 'tmpfs', target: '/t', size: 4096, mode: 448 }] },
  ],
  [
    { Tmpfs: { '/run': 'size=64m,mode=0700' } },
    { mounts: [{ type: 'tmpfs', target: '/run', size: '64m', mode: '0700' }] },
  ],
  [
    { PortBindings: { '80/tcp': [{ HostIp: '127.0.0.1', HostPort: '8080' }] } },
    { ports: [{ container: 80, protocol: 'tcp', address: '127.0.0.1', host: 8080 }] },
  ],
  [
    { PortBindings: { '53/udp': [{ HostIp: '', HostPort: '' }] } },
    { ports: [{ container: 53, protocol: 'udp', address: '*' }] },
  ],
  [{ CapAdd: ['NET_ADMIN'], CapDrop: null }, { security: { capabilities: { add: ['NET_ADMIN'], drop: [] } } }],
  [
    { SecurityOpt: ['no-new-privileges:false', 'seccomp=unconfined'] },
    { security: { noNewPrivileges: false, seccomp: 'unconfined' } },
  ],
  [
    { SecurityOpt: ['seccomp={"defaultAction":"SCMP_ACT_ERRNO"}'] },
    { security: { seccomp: { defaultAction: 'SCMP_ACT_ERRNO' } } },
  ],
  [{ MaskedPaths: [], ReadonlyPaths: [] }, { security: { maskedPaths: [], readonlyPaths: [] } }],
  [{ RestartPolicy: { Name: 'on-failure', MaximumRetryCount: 3 } }, { restart: { onFailure: 3 } }],
  [{ Ulimits: [{ Name: 'nofile', Soft: 10, Hard: 20 }] }, { ulimits: { nofile: { soft: 10, hard: 20 } } }],
  [
    { Devices: [{ PathOnHost: '/dev/fuse', PathInContainer: '', CgroupPermissions: '' }] },
    { devices: ['/dev/fuse:/dev/fuse:rwm'] },
  ],
  [{ LogConfig: { Type: 'none' } }, { logLimit: 0 }],
  [{ PidMode: 'host', IpcMode: 'private' }, { namespaces: { pid: 'host', ipc: 'private' } }],
  [{ NetworkMode: 'host' }, { network: 'host' }],
  [{ NetworkMode: 'none' }, { network: 'none' }],
  [
    { ReadonlyRootfs: true, Init: true, ShmSize: 1 << 20 },
    { readOnly: true, init: true, shmSize: 1 << 20 },
  ],
]

test.each(HOST)('HostConfig %j', (host, options) => {
  expect(made(host).options).toMatchObject(options)
  if (Object.keys(options).length === 0) expect(made(host).options.limits).toBeUndefined()
})

const CONFIG: Array<[config: Json, options: object]> = [
  [{ Cmd: ['echo', 'a'], Entrypoint: null }, { command: ['echo', 'a'] }],
  [{ Cmd: 'true' }, { command: ['true'] }],
  [{ Entrypoint: [''] }, { entrypoint: [] }],
  [
    { Tty: true, OpenStdin: true },
    { tty: true, stdinOpen: true },
  ],
  [
    { Healthcheck: { Test: ['CMD-SHELL', 'true'], Interval: 1_000_000_000 } },
    { healthcheck: { test: 'true', interval: 1000 } },
  ],
  [{ Healthcheck: { Test: ['NONE'] } }, { healthcheck: false }],
  [
    { StopTimeout: 3, StopSignal: 'SIGINT' },
    { stopTimeout: 3000, stopSignal: 'SIGINT' },
  ],
  [
    { Env: ['A=b'], User: '1:2', WorkingDir: '/w' },
    { env: ['A=b'], user: '1:2', workdir: '/w' },
  ],
  [{ Volumes: { '/v': {} } }, { mounts: [{ type: 'volume', target: '/v' }] }],
]

test.each(CONFIG)('%j', (config, options) => expect(made({}, config).options).toMatchObject(options))

test('the networks of NetworkMode and of EndpointsConfig, each once', () => {
  const NetworkingConfig = {
    EndpointsConfig: { net: { Aliases: ['a'], IPAMConfig: { IPv4Address: '10.0.0.2' } }, other: {} },
  }
  const { networks, options } = made({ NetworkMode: 'net' }, { NetworkingConfig })
  expect(networks).toEqual([{ network: 'net', aliases: ['a'], ipv4: '10.0.0.2' }, { network: 'other' }])
  expect(options.network).toBeUndefined()
  expect(made({ NetworkMode: 'default' }, { NetworkingConfig: { EndpointsConfig: { default: {} } } }).networks).toEqual(
    [{ network: 'bridge' }],
  )
  expect(made({ NetworkMode: 'container:x', PidMode: 'container:y' }).joins).toEqual({ network: 'x', pid: 'y' })
})

test('the text of a label may be any: what every object has by itself is none', () => {
  const labels = JSON.parse('{"__proto__":"a","constructor":"b"}')
  const { options } = made({}, { Labels: labels })
  expect(Object.entries(options.labels ?? {})).toEqual([
    ['__proto__', 'a'],
    ['constructor', 'b'],
  ])
})

const REFUSED: Array<[what: string, host: Json, status: number]> = [
  ['a cgroup of the caller', { CgroupParent: '/x' }, 501],
  ['volumes of others', { VolumesFrom: ['x'] }, 501],
  ['links', { Links: ['a:b'] }, 501],
  ['GPUs', { DeviceRequests: [{ Count: -1 }] }, 501],
  ['another runtime', { Runtime: 'kata' }, 501],
  ['a log driver', { LogConfig: { Type: 'syslog' } }, 501],
  ['a device rule', { DeviceCgroupRules: ['c 1:3 rwm'] }, 501],
  ['AutoRemove with a restart', { AutoRemove: true, RestartPolicy: { Name: 'always' } }, 400],
  ['a wrong type', { Memory: '64m' }, 400],
  ['a mode', { PidMode: 'weird' }, 400],
  ['a security option', { SecurityOpt: ['apparmor=mine'] }, 400],
  ['NanoCpus beside a quota', { NanoCpus: 1, CpuQuota: 1 }, 400],
]

test.each(REFUSED)('%s is refused, not dropped', (_, host, status) => {
  let failure: unknown
  try {
    made(host)
  } catch (error) {
    failure = error
  }
  expect(failure).toBeDefined()
  expect(failureOf(failure).status).toBe(status)
})

test('without an image it is a bad request', () => {
  expect(() => createOptions(fieldsOf({}))).toThrow('Image')
})
