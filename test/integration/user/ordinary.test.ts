import { execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { buffer } from 'node:stream/consumers'
import { Container, Image, Namespace, Network, type RunOptions, run } from '../../../lib/index.js'
import { mountFiles } from '../../../lib/project/files.js'
import { owner } from '../../../lib/runtime/process/owner.js'
import { archive } from '../../support/archive.js'
import { isRoot, testIf } from '../../support/needs.js'
import { alive, unusual } from '../../support/processes.js'
import { compileProgram } from '../../support/program.js'
import { until } from '../../support/until.js'

const root = path.resolve(__dirname, '../../..')
/** They are run by an ordinary user in a cgroup of its own, and by one without. */
const asUser = testIf(isRoot && 'for an ordinary user')
const [uid, gid] = [process.getuid?.() ?? 0, process.getgid?.() ?? 0]

let image: Image
let bare = false
beforeAll(async () => {
  image = await Image.host()
  if (isRoot) return
  const { cgroups } = await owner()
  bare = cgroups.unified === undefined && cgroups.legacy.length === 0
})

const sh = (script: string, options: RunOptions = {}) => run(image, ['sh', '-c', script], options)
describe('a container of an ordinary user', () => {
  asUser('has its user as root, the subordinate ids as the others, and nobody else', async () => {
    const { stdout, stderr } = await sh(
      'cat /proc/self/uid_map; touch /tmp/f; chown 1000:1000 /tmp/f; stat -c %u:%g /tmp/f /usr',
    )
    expect(stderr).toBe('')
    const [self, others, file, host] = stdout.trim().split('\n')
    expect(self?.trim().split(/\s+/)).toEqual(['0', String(uid), '1'])
    expect(others?.trim().split(/\s+/)[0]).toBe('1')
    expect([file, host]).toEqual(['1000:1000', '65534:65534'])
  })

  asUser('gives its files to nobody that it has no ids for, and says so', async () => {
    const mounts = [{ type: 'bind' as const, source: '/etc/hostname', target: '/bound' }]
    const options = { command: ['sleep', '60'], files: { '/given': 'x' }, mounts }
    await using container = await Container.create(image, options)
    await container.start()
    await container.fs.chown('/given', 0, 0)
    await expect(container.fs.chown('/given', 1_000_000_000, 0)).rejects.toMatchObject({
      stage: 'files: /given',
      hint: expect.stringContaining('/etc/subuid'),
    })
    // Root's, whom nobody in the container is.
    await expect(container.fs.chown('/bound', 0, 0)).rejects.toMatchObject({
      stage: 'files: /bound',
      hint: expect.stringContaining('where it comes from'),
      cause: { code: 'EPERM' },
    })
    const file = {
      target: '/key',
      content: Buffer.from('x'),
      model: { source: 's', uid: 5, place: { path: 'secrets' } },
    }
    await expect(mountFiles([file])).rejects.toMatchObject({
      code: 'ERR_CAISSON_PERMISSION',
      message: expect.stringContaining('/key cannot be given to 5:0'),
      hint: expect.stringContaining('uid and gid'),
    })
  })

  asUser('has no rights over what belongs to the host', async () => {
    const { stdout } = await sh('cat /proc/1/environ > /dev/null && echo own; echo x >> /usr/bin/env; id -u')
    expect(stdout).toBe('own\n0\n')
    const secret = mkdtempSync(path.join(tmpdir(), 'caisson-ordinary-'))
    writeFileSync(path.join(secret, 'mine'), 'x', { mode: 0o600 })
    const mounts = [
      { type: 'bind' as const, source: secret, target: '/mine' },
      { type: 'bind' as const, source: '/proc', target: '/host' },
    ]
    const result = await sh('cat /mine/mine; cat /host/1/environ', { mounts, user: 'root' })
    expect(result.stdout).toBe('x')
    expect(result.stderr).toMatch(/environ: Permission denied/)
    rmSync(secret, { recursive: true })
  })

  asUser('says how strictly it is kept', async () => {
    await using container = await Container.create(image, { command: ['sleep', '1000'] })
    await container.start()
    expect(container.inspect()).toMatchObject({ tier: 'namespaces' })
    expect((await container.top()).map(({ args }) => args)).toEqual([['sleep', '1000']])
  })

  asUser('is joined by another', async () => {
    await using first = await Container.create(image, { command: ['sleep', '1000'] })
    await first.start()
    const net = (options: RunOptions) => sh('readlink /proc/self/ns/net', options).then(({ stdout }) => stdout)
    expect(await net({ network: first })).toBe((await first.exec(['readlink', '/proc/self/ns/net'])).stdout)
    const seen = await sh('ls /proc | grep -c "^[0-9]"; cat /proc/1/cmdline | tr "\\0" " "', {
      namespaces: { pid: first },
    })
    expect(seen.stdout).toMatch(/^\d+\nsleep 1000 $/)
  })

  asUser('is in a namespace that was made before', async () => {
    const namespace = await Namespace.create('net')
    const { stdout } = await sh('readlink /proc/self/ns/net', { namespaces: { net: namespace } })
    expect(stdout).toBe(`net:[${namespace.inode}]\n`)
    await namespace.dispose()
  })

  asUser('keeps files with their owners in archives and images', async () => {
    await using container = await Container.create(image, { command: ['sleep', '1000'], storage: 'disk' })
    const members = [
      { name: 'd/', type: '5', mode: 0o700, uid: 33, gid: 44 } as const,
      { name: 'd/f', uid: 33, gid: 44 },
    ]
    await container.putArchive('/srv', archive(...members))
    const listing = execFileSync('tar', ['-tv', '--numeric-owner'], {
      input: await buffer(container.getArchive('/srv/')),
      encoding: 'utf8',
    })
    expect(listing).toMatch(/ 33\/44 .* srv\/d\/\n.* 33\/44 .* srv\/d\/f\n/)
    await container.start()
    expect((await container.exec(['stat', '-c', '%u:%g', '/srv/d/f'])).stdout).toBe('33:44\n')
    expect((await container.diff()).map((change) => change.path)).toEqual(['/srv', '/srv/d', '/srv/d/f'])
    const upper = container.inspect().upper as string
    // A subordinate id: not ours, so only inside the user namespace it can be removed.
    expect(statSync(path.join(upper, 'srv/d')).uid).not.toBe(uid)
    expect(() => readdirSync(path.join(upper, 'srv/d'))).toThrow(/EACCES/)
    await container.remove({ force: true })
    expect(() => statSync(upper)).toThrow(/ENOENT/)

    const made = await Image.fromRootfs(
      Buffer.from(archive({ name: 'bin/busybox', mode: 0o755, data: readFileSync('/bin/busybox') }, ...members)),
    )
    expect((await run(made, ['/bin/busybox', 'stat', '-c', '%u:%g', '/d/f'])).stdout).toBe('33:44\n')
  })

  asUser('refuses ids that this user does not have', async () => {
    await expect(run(image, ['id'], { user: '3000000' })).rejects.toMatchObject({
      code: 'ERR_CAISSON_PERMISSION',
      stage: 'user',
    })
    const userns = {
      uidMap: [{ containerID: 0, hostID: 0, size: 1 }],
      gidMap: [{ containerID: 0, hostID: 0, size: 1 }],
    }
    await expect(run(image, ['id'], { security: { userns } })).rejects.toMatchObject({ code: 'ERR_CAISSON_NAMESPACE' })
  })

  asUser('is told that ranges for each container are for root', async () => {
    const refused = run(image, ['id'], { security: { userns: 'auto' } })
    await expect(refused).rejects.toMatchObject({ code: 'ERR_CAISSON_UNSUPPORTED' })
  })

  asUser('gets maps of its own choice among its ids', async () => {
    const grant = /^[^:]+:(\d+):/m.exec(
      readFileSync('/etc/subuid', 'utf8')
        .split('\n')
        .find((line) => line.startsWith(`${process.env.USER}:`)) ?? '',
    )
    const first = Number(grant?.[1])
    const map = (own: number) => [
      { containerID: 0, hostID: own, size: 1 },
      { containerID: 1, hostID: first + 5, size: 10 },
    ]
    const { stdout } = await sh('cat /proc/self/uid_map', {
      security: { userns: { uidMap: map(uid), gidMap: map(gid) } },
    })
    expect(stdout.trim().split(/\s+/).map(Number)).toEqual([0, uid, 1, 1, first + 5, 10])
  })

  asUser('ends with its descendants when an exec in it takes too long', async () => {
    await using container = await Container.create(image, { command: ['sleep', '1000'] })
    await container.start()
    const mark = unusual()
    const script = `setsid sleep ${mark} & (setsid sh -c "sleep ${mark}; true" &) ; sleep ${mark}`
    const result = await container.exec(['sh', '-c', script], { timeout: 300 })
    expect(result).toMatchObject({ reason: 'timeout', signal: 'SIGKILL' })
    expect(alive(mark)).toEqual([])
    expect(container.state).toBe('running')
  })

  asUser('bounds a fork bomb', async () => {
    const bomb =
      'import os, time\nn = 0\ntry:\n  while True:\n    if os.fork() == 0: time.sleep(1000)\n    n += 1\nexcept OSError: print(n)'
    const { stdout, reason } = await run(image, ['python3', '-c', bomb], { timeout: 20_000 })
    expect(reason).toBe('exit')
    expect(Number(stdout)).toBeLessThanOrEqual(2048)
    expect(Number(stdout)).toBeGreaterThan(1000)
  })

  asUser('ends with its owner, even when it has cleared its parent-death signal', async () => {
    const mark = unusual()
    const script = `import { Image, run } from ${JSON.stringify(path.join(root, 'dist/index.js'))}
      import { readFileSync } from 'node:fs'
      const deaf = { content: readFileSync(process.argv[1]), mode: 0o755 }
      const program = run(await Image.host(), ['/deaf', '${mark}'], { files: { '/deaf': deaf } })
      for await (const { data } of program) process.stdout.write(data)`
    const directory = mkdtempSync(path.join(tmpdir(), 'caisson-ordinary-'))
    const deaf = path.join(directory, 'deaf')
    writeFileSync(deaf, compileProgram('deaf'))
    const child = spawn(process.execPath, ['--input-type=module', '-e', script, deaf], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    await new Promise((resolve) => child.stdout.once('data', resolve))
    expect(alive(mark).length).toBeGreaterThan(0)
    child.kill('SIGKILL')
    await until(() => alive(mark).length === 0, 1000)
    expect(alive(mark)).toEqual([])
    rmSync(directory, { recursive: true })
  })
})

describe('without cgroups', () => {
  const unlimited = async (options: RunOptions, stage: string) => {
    if (!bare) return expect((await sh('true', options)).exitCode).toBe(0)
    const error = await sh('true', options).catch((error) => error)
    expect(error).toMatchObject({ code: 'ERR_CAISSON_LIMIT_UNAVAILABLE', stage: `cgroup: ${stage}` })
    const { host } = (await owner()).cgroups
    expect(error.hint).toContain(host.mode === 'unified' ? 'systemd-run' : `${host.legacy[0]?.mountpoint}/caisson`)
  }

  asUser('a limit is an error that says how to get it, with them it holds', async () => {
    await unlimited({ limits: { memory: '64m' } }, 'memory')
    await unlimited({ limits: { pids: 20 } }, 'pids')
    await unlimited({ cpuTimeout: 10_000 }, 'cpuacct')
  })

  asUser('what cannot be told is null, and the rest is', async () => {
    const { usage, durationMs } = await sh('i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done')
    expect(usage.cpuUserMs).toBeGreaterThan(1)
    expect(durationMs).toBeGreaterThan(1)
    if (bare) expect(usage).toMatchObject({ memoryPeakBytes: null, pidsPeak: null, oomKills: null })
    else expect(usage.pidsPeak).toBeGreaterThanOrEqual(1)
  })
})

asUser('a network that nothing was put on is removed, whatever there is for networks', async () => {
  const network = await Network.create({ name: `empty-${process.pid}` })
  expect((await Network.list()).map(({ name }) => name)).toContain(network.name)
  await network.remove()
  await expect(Network.get(network.name)).rejects.toMatchObject({ code: 'ERR_CAISSON_NETWORK_NOT_FOUND' })
})
