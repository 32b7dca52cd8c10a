import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { describeFlags, parseFlags } from '../../../lib/cli/flags.js'
import { parseMount, parseTmpfs, parseVolume } from '../../../lib/cli/mount-values.js'
import { RUN_REFUSED } from '../../../lib/cli/refused-flags.js'
import { attachedStreams, exitCodeOf } from '../../../lib/cli/run.js'
import { RUN_FLAGS, runOptions } from '../../../lib/cli/run-flags.js'
import { securityOptions } from '../../../lib/cli/security-values.js'

function parse(...args: string[]) {
  const { flags, rest } = parseFlags(RUN_FLAGS, args)
  return { options: runOptions(flags), rest, flags }
}

const refused = expect.objectContaining({ code: 'ERR_CAISSON_INVALID_ARGUMENT', stage: expect.any(String) })

/** Of docker run (28), in its order; those that are missing here are in RUN_FLAGS. */
const OF_DOCKER = `add-host annotation attach blkio-weight blkio-weight-device cap-add cap-drop cgroup-parent cgroupns
  cidfile cpu-count cpu-percent cpu-period cpu-quota cpu-rt-period cpu-rt-runtime cpu-shares cpus cpuset-cpus cpuset-mems
  detach detach-keys device device-cgroup-rule device-read-bps device-read-iops device-write-bps device-write-iops
  disable-content-trust dns dns-opt dns-option dns-search domainname entrypoint env env-file expose gpus group-add
  health-cmd health-interval health-retries health-start-interval health-start-period health-timeout hostname init
  interactive io-maxbandwidth io-maxiops ip ip6 ipc isolation kernel-memory label label-file link link-local-ip log-driver
  log-opt mac-address memory memory-reservation memory-swap memory-swappiness mount name net net-alias network
  network-alias no-healthcheck oom-kill-disable oom-score-adj pid pids-limit platform privileged publish publish-all pull
  quiet read-only restart rm runtime security-opt shm-size sig-proxy stop-signal stop-timeout storage-opt sysctl tmpfs tty
  ulimit use-api-socket user userns uts volume volume-driver volumes-from workdir`.split(/\s+/)

describe('flags', () => {
  test('of docker are all there, or are refused with what to do instead', () => {
    const ours = RUN_FLAGS.flatMap(({ name, alias }) => (alias ? [name, alias] : [name]))
    expect(OF_DOCKER.filter((name) => !ours.includes(name))).toEqual(Object.keys(RUN_REFUSED))
    for (const [name, hint] of Object.entries(RUN_REFUSED))
      expect(() => parseFlags(RUN_FLAGS, [`--${name}=x`, 'host'], RUN_REFUSED)).toThrow(
        expect.objectContaining({ code: 'ERR_CAISSON_INVALID_ARGUMENT', message: `--${name} is not there`, hint }),
      )
    expect(() => parseFlags(RUN_FLAGS, ['--nothing', 'host'], RUN_REFUSED)).toThrow('unknown flag: --nothing')
  })

  test('that ask for what is so anyway are taken', () => {
    const { options } = parse(
      ...'--log-driver json-file --log-opt max-size=10m --volume-driver local --disable-content-trust'.split(' '),
      ...'--detach-keys= --memory-swappiness -1 --blkio-weight-device /dev/sda:0 --ipc shareable host'.split(' '),
    )
    expect(options).toEqual({ namespaces: { ipc: 'private' } })
  })

  test('of health are docker’s; 0 is the usual number', () => {
    expect(parse('--health-cmd', 'curl -f x || exit 1', 'host').options).toEqual({
      healthcheck: { test: 'curl -f x || exit 1' },
    })
    const flags = '--health-interval 1m30s --health-timeout 5s --health-retries 2 --health-start-period 2s'.split(' ')
    expect(parse('--health-cmd', 'x', ...flags, '--health-start-interval=100ms', 'host').options).toEqual({
      healthcheck: {
        test: 'x',
        interval: '1m30s',
        timeout: '5s',
        retries: 2,
        startPeriod: '2s',
        startInterval: '100ms',
      },
    })
    const usual = '--health-interval 0 --health-timeout 0s --health-retries 0'.split(' ')
    expect(parse('--health-cmd', 'x', ...usual, 'host').options).toEqual({ healthcheck: { test: 'x' } })
    expect(parse(...usual, '--health-cmd=', '--no-healthcheck=false', 'host').options).toEqual({})
  })

  test('attach as docker does', () => {
    expect([...attachedStreams()]).toEqual(['stdout', 'stderr'])
    expect([...attachedStreams(['STDERR', 'stdin'])]).toEqual(['stderr'])
    expect([...attachedStreams(['stdin'])]).toEqual([])
    expect(() => attachedStreams(['stdlog'])).toThrow(refused)
  })

  test('end at the image; what follows is the program’s', () => {
    const { options, rest } = parse('--init', 'host', 'ls', '-la', '--init=false', '--', '-x')
    expect(options).toEqual({ init: true })
    expect(rest).toEqual(['host', 'ls', '-la', '--init=false', '--', '-x'])
  })

  test('end at two dashes', () => {
    expect(parse('--init', '--', '--odd-image', '-x').rest).toEqual(['--odd-image', '-x'])
  })

  test('have short forms, together and with their values', () => {
    const { flags, options, rest } = parse('-it', '-m64m', '-e', 'A=1', '-eB=2', '-w/tmp', '-c=512', 'host')
    expect([flags.boolean('interactive'), flags.boolean('tty')]).toEqual([true, true])
    expect(options).toEqual({ env: { A: '1', B: '2' }, workdir: '/tmp', limits: { memory: '64m', cpuWeight: 50 } })
    expect(rest).toEqual(['host'])
    expect(parse('-ite', 'A=1', 'host').options).toEqual({ env: { A: '1' } })
  })

  test('take values that begin with a dash, as docker does', () => {
    expect(parse('--memory', '64m', '--memory-swap', '-1', 'host').options).toEqual({
      limits: { memory: '64m', memorySwap: -1 },
    })
  })

  test('publish all that the image exposes, everywhere, on a network', () => {
    const publishAllPorts = { address: '*' }
    expect(parse('-P', 'host').options).toEqual({ network: 'bridge', publishAllPorts })
    expect(parse('--publish-all', '--network=net', 'host').options).toEqual({ network: 'net', publishAllPorts })
    expect(parse('--publish-all=false', 'host').options).toEqual({})
  })

  test.each(['true', 'TRUE', 't', '1'])('are true as %s', (value) => {
    expect(parse(`--read-only=${value}`).options).toEqual({ readOnly: true })
  })

  test.each(['false', 'F', '0'])('are false as %s', (value) => {
    expect(parse(`--read-only=${value}`).options).toEqual({ readOnly: false })
  })

  test.each([
    [['--nonsense', 'host']],
    [['-Z', 'host']],
    [['--memory']],
    [['--init=perhaps', 'host']],
    [['--cpus', 'many', 'host']],
    [['--pids-limit', '1.5', 'host']],
    [['--publish', 'x', 'host']],
    [['--ip', '10.1.2.3', 'host']],
    [['--userns', 'auto', 'host']],
    [['--rm=false', 'host']],
    [['--detach', 'host']],
    [['-d', 'host']],
    [['--restart', 'always', 'host']],
    [['--cpus', '1', '--cpu-quota', '50000', 'host']],
    [['--cpu-quota', '50000', '--cpu-period', '10', 'host']],
    [['--network', 'name=', 'host']],
    [['--blkio-weight', '5', 'host']],
    [['--storage-opt', 'speed=1', 'host']],
    [['--sysctl', 'net.core.somaxconn', 'host']],
    [['--env-file', '/nonexistent', 'host']],
    [['--blkio-weight-device', '/dev/sda:5', 'host']],
    [['--health-cmd', 'true', '--no-healthcheck', 'host']],
    [['--health-cmd', 'true', '--health-retries', '-1', 'host']],
    [['--health-cmd', 'true', '--health-interval', '-1s', 'host']],
    [['--health-cmd', 'true', '--health-timeout', '30', 'host']],
    [['--health-interval', '5s', 'host']],
    [['--memory-swappiness', '101', 'host']],
    [['--detach-keys', 'ctrl-p', 'host']],
    [['--log-driver', 'syslog', 'host']],
    [['--volume-driver', 'nfs', 'host']],
    [['--disable-content-trust=false', 'host']],
    [['--network', 'container:web', 'host']],
    [['--pid', 'container:web', 'host']],
    [['--ipc', 'none', 'host']],
  ])('%j are refused', (args) => {
    expect(() => parse(...args)).toThrow(refused)
  })

  test('are all in the help text, on lines of their own', () => {
    const lines = describeFlags(RUN_FLAGS).split('\n')
    expect(lines).toHaveLength(RUN_FLAGS.length)
    for (const { name } of RUN_FLAGS)
      expect(lines.filter((line) => line.slice(6).startsWith(`--${name} `))).toHaveLength(1)
    expect([...RUN_FLAGS].map(({ name }) => name)).toEqual([...RUN_FLAGS].map(({ name }) => name).sort())
  })
})

test('nothing given is nothing said, so that defaults hold', () => {
  expect(parse('host').options).toEqual({})
})

test('every flag has its option', () => {
  const { options } = parse(
    ...'--name n --hostname h --domainname d --user 1:2 --entrypoint sh --label a=b --label c --init'.split(' '),
    ...'--cpus 1.5 --cpuset-cpus 0-1 --pids-limit 10 --ulimit nofile=1:2 --sysctl net.a.b=1 --device /dev/fuse'.split(
      ' ',
    ),
    ...'--shm-size 1m --net none --read-only --cap-add NET_ADMIN --cap-drop ALL --stop-signal INT'.split(' '),
    ...'--stop-timeout 5 --group-add 7 --add-host a:1.2.3.4 --dns 8.8.8.8 --timeout 90 --cpu-timeout 1.5s'.split(' '),
    ...'--pid host --ipc host --uts private --userns private --cgroupns host --oom-score-adj 10 --privileged'.split(
      ' ',
    ),
    ...'--storage-opt size=10g --blkio-weight 500 --device-read-bps /dev/sda:1mb --device-write-iops /dev/sda:5'.split(
      ' ',
    ),
    ...'--memory 64m --memory-reservation 32m --memory-swappiness 0 --cpuset-mems 0'.split(' '),
    ...'--blkio-weight-device /dev/sda:1000 --dns-search a.test --dns-option ndots:2 --egress a.test:443 --egress 10.0.0.0/8'.split(
      ' ',
    ),
    ...'--pull never --platform linux/arm64 --tmpfs /t --security-opt no-new-privileges=false'.split(' '),
  )
  expect(options).toEqual({
    name: 'n',
    hostname: 'h',
    domainname: 'd',
    user: '1:2',
    entrypoint: ['sh'],
    labels: { a: 'b', c: '' },
    init: true,
    limits: {
      cpus: 1.5,
      cpuset: '0-1',
      memory: '64m',
      memoryReservation: '32m',
      memorySwappiness: 0,
      cpusetMems: '0',
      pids: 10,
      disk: '10g',
      io: {
        weight: 4950,
        devices: [
          { path: '/dev/sda', readBps: '1mb' },
          { path: '/dev/sda', writeIops: 5 },
          { path: '/dev/sda', weight: 10_000 },
        ],
      },
    },
    ulimits: { nofile: { soft: 1, hard: 2 } },
    sysctls: { 'net.a.b': '1' },
    devices: ['/dev/fuse:/dev/fuse:rwm'],
    shmSize: '1m',
    network: 'none',
    readOnly: true,
    security: { capabilities: { add: ['NET_ADMIN'], drop: ['ALL'] }, privileged: true, noNewPrivileges: false },
    stopSignal: 'INT',
    stopTimeout: 5000,
    groups: ['7'],
    extraHosts: ['a=1.2.3.4'],
    dns: ['8.8.8.8'],
    dnsSearch: ['a.test'],
    dnsOptions: ['ndots:2'],
    egress: { allow: ['a.test:443', '10.0.0.0/8'] },
    timeout: '90s',
    cpuTimeout: '1.5s',
    namespaces: { pid: 'host', ipc: 'host', uts: 'private', user: 'private', cgroup: 'host' },
    oomScoreAdj: 10,
    pull: 'never',
    platform: 'linux/arm64',
    mounts: [{ type: 'tmpfs', target: '/t' }],
  })
})

test('a quota is a part of processors', () => {
  expect(parse('--cpu-quota', '50000', 'host').options).toEqual({ limits: { cpus: 0.5 } })
  expect(parse('--cpu-quota=30000', '--cpu-period=20000', 'host').options).toEqual({ limits: { cpus: 1.5 } })
  expect(parse('--cpu-quota', '-1', '--restart', 'no', '-q', '--no-healthcheck', 'host').options).toEqual({})
})

test('ports of --expose are published with all others, where any is free', () => {
  expect(parse('--expose', '90', 'host').options).toEqual({})
  expect(parse('-P', '--expose', '90-91/udp', '-p', '8080:80', 'host').options).toEqual({
    network: 'bridge',
    publishAllPorts: { address: '*' },
    ports: [
      { container: 80, host: 8080, protocol: 'tcp', address: '*' },
      { container: 90, protocol: 'udp', address: '*' },
      { container: 91, protocol: 'udp', address: '*' },
    ],
  })
})

test('an empty entry point takes the image’s away', () => {
  expect(parse('--entrypoint=', 'host').options).toEqual({ entrypoint: [] })
})

test('no limit of processes is the most that the kernel numbers', () => {
  expect(parse('--pids-limit', '-1', 'host').options).toEqual({ limits: { pids: 4_194_304 } })
})

describe('mounts', () => {
  test('of all three kinds of flags', () => {
    expect(parseMount('type=bind,src=/a,dst=/b,ro,bind-propagation=rslave')).toEqual({
      type: 'bind',
      source: '/a',
      target: '/b',
      readOnly: true,
      propagation: 'rslave',
    })
    expect(parseMount('type=tmpfs,target=/t,tmpfs-size=1m,tmpfs-mode=0700')).toEqual({
      type: 'tmpfs',
      target: '/t',
      size: '1m',
      mode: 0o700,
    })
    expect(parseMount('type=bind,"source=/a,b""c",target=/d')).toMatchObject({ source: '/a,b"c', target: '/d' })
    expect(parseVolume('./here:/b:ro,z')).toEqual({
      type: 'bind',
      source: path.resolve('here'),
      target: '/b',
      readOnly: true,
    })
    expect(parseTmpfs('/t:exec')).toEqual({ type: 'tmpfs', target: '/t', exec: true })
    expect(parseTmpfs('/t:size=64m,ro,noexec')).toEqual({ type: 'tmpfs', target: '/t', size: '64m', readOnly: true })
    expect(parseTmpfs('/t:mode=1750,uid=1000,gid=0')).toEqual({
      type: 'tmpfs',
      target: '/t',
      mode: 0o1750,
      uid: 1000,
      gid: 0,
    })
  })

  test.each([
    ['mount', parseMount, 'type=volume,source=name,target=/b,volume-driver=other'],
    ['mount', parseMount, 'source=name,target=/b,volume-nocopy=true'],
    ['mount', parseMount, 'type=image,source=name,target=/b'],
    ['mount', parseMount, 'type=tmpfs,target=/t,tmpfs-mode=rwx'],
    ['mount', parseMount, 'type=bind,source=/a'],
    ['mount', parseMount, 'type=bind,"source=/a,target=/b'],
    ['volume', parseVolume, 'b'],
    ['volume', parseVolume, '/a:/b:odd'],
    ['volume', parseVolume, '/a:/b:ro:more'],
    ['tmpfs', parseTmpfs, '/t:suid'],
    ['tmpfs', parseTmpfs, '/t:mode=800'],
    ['tmpfs', parseTmpfs, '/t:uid=root'],
    ['tmpfs', parseTmpfs, '/t:gid=-1'],
  ])('--%s refuses what caisson cannot do', (_, parser, text) => {
    expect(() => parser(text)).toThrow(refused)
  })
})

describe('--security-opt', () => {
  test('takes docker’s words', () => {
    expect(securityOptions(['seccomp=unconfined', 'no-new-privileges', 'apparmor=unconfined'])).toEqual({
      seccomp: 'unconfined',
      noNewPrivileges: true,
    })
    expect(securityOptions(['seccomp:builtin', 'no-new-privileges:false', 'label:disable'])).toEqual({
      seccomp: 'default',
      noNewPrivileges: false,
    })
    expect(securityOptions(['systempaths=unconfined'])).toEqual({ maskedPaths: [], readonlyPaths: [] })
  })

  test('reads a profile from a file', () => {
    const directory = mkdtempSync(path.join(tmpdir(), 'caisson-cli-'))
    try {
      const [good, bad] = ['good', 'bad'].map((name) => path.join(directory, name)) as [string, string]
      writeFileSync(good, '{"defaultAction":"SCMP_ACT_ALLOW"}')
      writeFileSync(bad, '{')
      expect(securityOptions([`seccomp=${good}`])).toEqual({ seccomp: { defaultAction: 'SCMP_ACT_ALLOW' } })
      expect(() => securityOptions([`seccomp=${bad}`])).toThrow(refused)
      expect(() => securityOptions([`seccomp=${directory}/none`])).toThrow(refused)
    } finally {
      rmSync(directory, { recursive: true })
    }
  })

  test.each(['apparmor=mine', 'label=user:x', 'seccomp', 'no-new-privileges=perhaps', ''])('refuses %j', (option) => {
    expect(() => securityOptions([option])).toThrow(refused)
  })
})

test.each([
  [{ exitCode: 3, signal: null }, 3],
  [{ exitCode: 0, signal: null }, 0],
  [{ exitCode: null, signal: 'SIGKILL' }, 137],
  [{ exitCode: null, signal: 'SIGTERM' }, 143],
  [{ exitCode: null, signal: 'SIGRTMIN+2' }, 164],
  [{ exitCode: null, signal: null }, 137],
])('%j exits with %i', (result, code) => {
  expect(exitCodeOf(result)).toBe(code)
})
