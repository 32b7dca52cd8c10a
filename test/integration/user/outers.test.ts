/** caisson in real outer sandboxes, as people start them: what it gets there, says of it, and holds to. */
import { execFileSync, spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readlinkSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { IsolationReport, Report } from '../../../lib/index.js'
import { type Dockerd, noDocker, startDockerd } from '../../support/dockerd.js'
import { packageForEveryone } from '../../support/everyone.js'
import { findProgram, isRoot, testIf } from '../../support/needs.js'
import { commandWithin } from '../../support/outer.js'

const withPodman = testIf((!findProgram('podman') && 'no podman') || (!isRoot && 'podman is started by root here'))
const withDocker = testIf(noDocker)
const withBubblewrap = testIf(!findProgram('bwrap') && 'no bwrap (apt: bubblewrap)')

interface Outcome {
  value?: { isolation: IsolationReport; output: string; name: string }
  code?: string
  stage?: string
  hint?: string
}
interface Seen {
  namespaces: Outcome
  landlock: Outcome
  named: Outcome
  report: Report
  name: string
}

const SCRIPT = `
import os from 'node:os'
const image = await Image.host()
async function seen(options) {
  const { stdout: output } = await run(image, ['sh', '-c', 'echo ran; uname -n'], options)
  await using container = await Container.create(image, { command: ['sleep', '1000'], ...options })
  await container.start()
  const { stdout: name } = await container.exec(['uname', '-n'])
  return { output, name: name.trim(), isolation: container.inspect().isolation }
}
const tier = (require, options) => failing(seen({ ...options, security: { require } }))
show({ namespaces: await tier('namespaces'), landlock: await tier('landlock'), named: await tier('namespaces', { hostname: 'given' }),
  report: await doctor(), name: os.hostname() })`

let directory: string
beforeAll(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'caisson-outers-'))
  chmodSync(directory, 0o755)
})
afterAll(() => rmSync(directory, { recursive: true, force: true }))

const library = () => path.dirname(path.dirname(packageForEveryone()))

/** A root of nothing but places for the machine's directories, which are bound over them. */
function emptyRoot(): string {
  const root = mkdtempSync(path.join(directory, 'root-'))
  chmodSync(root, 0o755)
  for (const name of ['usr', 'etc', 'proc', 'sys', 'dev', 'tmp', 'run', 'var', 'root', 'mnt'])
    mkdirSync(path.join(root, name))
  for (const name of ['bin', 'sbin', 'lib', 'lib64', 'lib32'])
    if (existsSync(`/${name}`)) symlinkSync(readlinkSync(`/${name}`), path.join(root, name))
  return root
}

function look([file, ...args]: string[]): Seen {
  const { status, stdout, stderr } = spawnSync(file as string, args, { encoding: 'utf8', timeout: 60_000 })
  if (status !== 0) throw new Error(`${status}: ${stderr}`)
  return JSON.parse(stdout.trim().split('\n').at(-1) as string)
}

/** In an outer container: `start` gets the flags that Docker and Podman have alike. */
function inContainer(start: (flags: string[]) => string[], image: string[]): Seen {
  const { words, home, options } = commandWithin(SCRIPT)
  const binds = ['/usr', '/etc', process.execPath, library()].map((at) => `${at}:${at}:ro`).concat(`${home}:${home}`)
  const environment = [`HOME=${home}`, `CAISSON_ROOT=${options.env.CAISSON_ROOT}`]
  const flags = [...binds.flatMap((bind) => ['-v', bind]), ...environment.flatMap((each) => ['-e', each])]
  return look([...start(flags), ...image, ...words])
}

/** Containers, as strong as they can be there; both requirements get the same. */
function expectNamespaces({ namespaces, landlock, named, report, name }: Seen, expected: Partial<IsolationReport>) {
  for (const { value, ...failure } of [namespaces, landlock]) {
    expect(failure).toEqual({})
    expect(value?.isolation).toMatchObject({ tier: 'namespaces', layers: 'overlay', ...expected })
    expect(value?.output).toBe(`ran\n${value?.output.split('\n')[1]}\n`)
  }
  expect(report.tier).toBe('namespaces')
  // The name is their own, or they are told so; one that is asked for is not left out.
  const { isolation, name: shown } = namespaces.value as NonNullable<Outcome['value']>
  const outer = isolation.notGuaranteed.some((sentence) => sentence.includes('host name'))
  expect({ outer, same: shown === name }).toEqual({ outer, same: outer })
  if (outer)
    expect(named).toMatchObject({ code: 'ERR_CAISSON_PERMISSION', stage: 'hostname', hint: expect.any(String) })
  else expect(named.value?.name).toBe('given')
}

/** Nothing that the caller has not accepted; the doctor names what stands in the way. */
function expectLandlock({ namespaces, landlock, report }: Seen, culprit: RegExp) {
  expect(namespaces).toMatchObject({ code: 'ERR_CAISSON_SECURITY_UNAVAILABLE', stage: 'isolation' })
  expect(landlock.value?.isolation).toMatchObject({ tier: 'landlock', proc: 'none' })
  expect(landlock.value?.output).toMatch(/^ran\n/)
  expect(report).toMatchObject({ tier: 'landlock', ok: false })
  const missing = report.findings.filter(({ id, state }) => state === 'missing' && id !== 'isolation')
  expect(missing.map(({ id, fix }) => `${id}: ${fix}`).join('\n')).toMatch(culprit)
}

const UNCONFINED = ['--security-opt', 'seccomp=unconfined']

describe('inside bubblewrap', () => {
  const inside = (...flags: string[]) => {
    const { words, home, options } = commandWithin(SCRIPT)
    const root = ['--ro-bind', '/', '/', '--dev', '/dev', '--proc', '/proc', '--tmpfs', '/tmp']
    const own = ['--ro-bind', library(), library(), '--bind', home, home]
    const environment = ['--setenv', 'HOME', home, '--setenv', 'CAISSON_ROOT', options.env.CAISSON_ROOT]
    return look(['bwrap', '--unshare-all', ...root, ...own, ...environment, ...flags, ...words])
  }

  withBubblewrap('there are containers', async () => {
    // Of root's it covers parts of /proc, and then the kernel lets nobody mount a whole one.
    expectNamespaces(inside(), { proc: isRoot ? 'outer' : 'own', ids: 1 })
  })

  withBubblewrap('without user namespaces there is Landlock', async () => {
    expectLandlock(inside('--unshare-user', '--disable-userns'), /userns\.ordinary: .*disable-userns/)
  })
})

describe('inside podman', () => {
  const inside = (...more: string[]) =>
    inContainer(
      (flags) => [
        // crun 1.8 refuses hybrid hosts; nor do its mounts stay.
        ...['unshare', '--mount', 'sh', '-c', 'umount /sys/fs/cgroup/unified 2>/dev/null; exec "$@"', 'sh'],
        ...['podman', '--root', path.join(directory, 'podman'), '--runroot', path.join(directory, 'podman-run')],
        ...['--cgroup-manager', 'cgroupfs', 'run', '--rm', '--network', 'none', '--cgroups', 'disabled'],
        ...['--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=4096:4096', ...more, ...flags],
      ],
      ['--rootfs', emptyRoot()],
    )

  withPodman('there are containers, with the outer /proc and host name', async () => {
    expectNamespaces(inside(), { proc: 'outer', ids: 1 })
  })

  withPodman('of its whole /proc they have their own', async () => {
    expectNamespaces(inside('--security-opt', 'unmask=ALL'), { proc: 'own', ids: 1 })
  })

  withPodman('without a filter they have a host name', async () => {
    expectNamespaces(inside(...UNCONFINED), { proc: 'outer', ids: 1 })
  })

  withPodman('with CAP_SYS_ADMIN, but no cgroup to limit devices by, they are in a user namespace', async () => {
    expectNamespaces(inside('--cap-add', 'SYS_ADMIN', '--security-opt', 'unmask=ALL'), { proc: 'own', ids: 1 })
  })

  withPodman(
    'privileged there are the containers of root, and its cgroups go, although it is PID 1 there',
    async () => {
      const cgroups = () => execFileSync('find', ['/sys/fs/cgroup', '-name', 'caisson-1-*']).toString()
      const before = cgroups()
      expectNamespaces(inside('--privileged'), { proc: 'own', sys: 'own', ids: null })
      expect(cgroups()).toBe(before)
    },
  )
})

describe('inside docker', () => {
  let daemon: Dockerd | undefined
  beforeAll(async () => {
    if (noDocker) return
    daemon = await startDockerd(path.join(directory, 'docker'))
    const tar = path.join(directory, 'root.tar')
    execFileSync('tar', ['-C', emptyRoot(), '-cf', tar, '.'])
    await daemon.docker('import', tar, 'outer:1')
  }, 60_000)
  afterAll(() => daemon?.[Symbol.asyncDispose]())
  const inside = (...more: string[]) => {
    const docker = ['docker', '-H', `unix://${path.join(directory, 'docker/socket')}`]
    return inContainer((flags) => [...docker, 'run', '--rm', '--network', 'none', ...more, ...flags], ['outer:1'])
  }
  const WHOLE = ['--security-opt', 'systempaths=unconfined']

  withDocker('there is Landlock', async () => {
    expectLandlock(inside(), /namespace\.user: .*seccomp=unconfined/)
  })

  withDocker('with CAP_SYS_ADMIN alone too: its filter refuses pivot_root', async () => {
    expectLandlock(inside('--cap-add', 'SYS_ADMIN'), /syscall\.pivot_root: .*seccomp=unconfined/)
  })

  withDocker('without its filter there are containers, with the outer /proc', async () => {
    expectNamespaces(inside(...UNCONFINED), { proc: 'outer', ids: 1 })
  })

  withDocker('and with the whole /proc, their own', async () => {
    expectNamespaces(inside(...UNCONFINED, ...WHOLE), { proc: 'own', ids: 1 })
  })

  withDocker('with CAP_SYS_ADMIN, but no cgroup to limit devices by, they are in a user namespace', async () => {
    expectNamespaces(inside('--cap-add', 'SYS_ADMIN', ...UNCONFINED, ...WHOLE), { proc: 'own', ids: 1 })
  })
})
