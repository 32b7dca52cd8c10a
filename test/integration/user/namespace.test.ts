import { execFileSync } from 'node:child_process'
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Container, Image, type RunOptions, run } from '../../../lib/index.js'
import { addon } from '../../../lib/native/addon.js'
import { roots } from '../../../lib/util/roots.js'
import { background } from '../../support/background.js'
import { isRoot, testIf } from '../../support/needs.js'

const asRoot = testIf(!isRoot && 'only root may give a range of ids')
const PRIVATE: RunOptions = { namespaces: { user: 'private' } }

let image: Image
beforeAll(async () => {
  image = await Image.host()
})

async function shell(script: string, options: RunOptions = {}): Promise<string> {
  const result = await run(image, ['sh', '-c', script], { ...PRIVATE, ...options })
  expect({ stderr: result.stderr, exitCode: result.exitCode }).toEqual({ stderr: '', exitCode: 0 })
  return result.stdout
}

describe('a private user namespace', () => {
  asRoot('makes root inside an ordinary id outside', async () => {
    await using program = await background(image, 'id -u; exec sleep 1000', PRIVATE)
    const status = readFileSync(`/proc/${program.pid}/status`, 'utf8')
    const first = Number(
      /^\s*0\s+(\d+)\s+65536$/.exec(readFileSync(`/proc/${program.pid}/uid_map`, 'utf8').trim())?.[1],
    )
    expect(first).toBeGreaterThanOrEqual(1000)
    expect(status).toContain(`Uid:\t${first}\t${first}\t${first}\t${first}\n`)
    expect(status).toContain(`Groups:\t${first} \n`)
  })

  asRoot('keeps what it writes on disk, with owners that another start finds again', async () => {
    await using container = await Container.create(image, { ...PRIVATE, command: ['sleep', '1000'] })
    await container.start()
    const written = await container.exec(['sh', '-c', 'echo kept >/file; chown 7:8 /file; mkdir /sub; rm -r /srv'])
    expect(written).toMatchObject({ exitCode: 0, stderr: '' })
    await container.restart({ timeout: 0 })
    const found = await container.exec(['sh', '-c', 'cat /file; stat -c %u:%g /file; test -d /srv || echo gone'])
    expect(found).toMatchObject({ stdout: 'kept\n7:8\ngone\n', stderr: '' })
  })

  asRoot('shows files with the owners that they have in the image', async () => {
    const files = [
      '/',
      '/bin',
      '/usr',
      '/usr/bin/env',
      '/etc/passwd',
      '/etc/hosts',
      '/root',
      '/tmp',
      '/dev',
      '/dev/null',
    ]
    expect(await shell(`stat -c %u:%g ${files.join(' ')}`)).toBe('0:0\n'.repeat(files.length))
    const shadow = '/usr/bin/chage'
    const { gid } = statSync(shadow)
    expect(await shell(`stat -c %g ${shadow}`)).toBe(`${gid}\n`)
  })

  asRoot('lets root write where root may, and files be owned by all ids of the map', async () => {
    const script = `
      echo text > /etc/new; mkdir /srv/dir; chown 33:44 /etc/new; chown 65534 /srv/dir; rm /etc/services; : > /etc/group
      stat -c %u:%g /etc/new /srv/dir; ls /etc/services 2>/dev/null; stat -c %s /etc/group
      rm -r /var/lib; mkdir /var/lib; ls -A /var/lib`
    expect(await shell(script)).toBe('33:44\n65534:0\n0\n')
  })

  asRoot('does not let an id outside of the map be used', async () => {
    const { exitCode, stderr } = await run(image, ['chown', '65536', '/tmp'], PRIVATE)
    expect({ exitCode, stderr: stderr.includes('Invalid argument') }).toEqual({ exitCode: 1, stderr: true })
  })

  asRoot('has devices, terminals and file systems of its own', async () => {
    expect(await shell('head -c 4 /dev/zero | wc -c; echo x > /dev/null; ls /dev/pts; ls -d /proc/[0-9]*')).toMatch(
      /^4\nptmx\n\/proc\/1\n/,
    )
    const names = 'shm mqueue pts'
    expect(await shell(`cd /dev; stat -c %u ${names}`)).toBe('0\n0\n0\n')
    const tty = await run(image, ['sh', '-c', 'tty; stat -c %U:%G $(tty)'], { ...PRIVATE, tty: true })
    expect(tty.stdout).toBe('/dev/pts/0\r\nroot:tty\r\n')
  })

  asRoot('puts devices where they are asked for', async () => {
    const devices = ['/dev/full:/dev/other', '/dev/zero:/opt/zero']
    const script = 'head -c 3 /opt/zero | wc -c; stat -c %t:%T /dev/other /opt/zero; cat /dev/zero > /dev/other'
    const { stdout, stderr } = await run(image, ['sh', '-c', script], { ...PRIVATE, devices })
    expect(stdout).toBe('3\n1:7\n1:5\n')
    expect(stderr).toContain('No space left on device')
  })

  asRoot('cannot do what only the root of the host may', async () => {
    const refused = ['mknod /tmp/null c 1 3', 'mount -t tmpfs none /mnt', 'echo 1 > /proc/sysrq-trigger']
    for (const command of refused) {
      const { exitCode } = await run(image, ['sh', '-c', command], PRIVATE)
      expect({ command, failed: exitCode !== 0 }).toEqual({ command, failed: true })
    }
    const all = { ...PRIVATE, security: { capabilities: { add: ['ALL'] }, seccomp: 'unconfined' as const } }
    const script = 'mknod /tmp/null c 1 3 2>/dev/null; echo $?; mount -t tmpfs none /mnt && echo mounted'
    expect(await shell(script, all)).toBe('1\nmounted\n')
  })

  asRoot('shows files of the host that are bound into it as nobody’s', async () => {
    const source = mkdtempSync(path.join(tmpdir(), 'caisson-user-'))
    try {
      writeFileSync(path.join(source, 'file'), 'host')
      chmodSync(source, 0o755)
      const mounts = [{ type: 'bind' as const, source, target: '/data' }]
      expect(await shell('stat -c %u:%g /data/file; cat /data/file', { mounts })).toBe('65534:65534\nhost')
      const write = await run(image, ['touch', '/data/file'], { ...PRIVATE, mounts })
      expect(write.stderr).toContain('Permission denied')
    } finally {
      rmSync(source, { recursive: true })
    }
  })

  asRoot('brings limits, injected files and an identity with it', async () => {
    const options: RunOptions = {
      files: { '/data/file': { content: 'x', uid: 5, gid: 6, mode: 0o640 } },
      ulimits: { nofile: { soft: 20, hard: 30 } },
      oomScoreAdj: 100,
      user: '1000:2000',
    }
    const script = 'stat -c %u:%g:%a /data/file; ulimit -Sn; ulimit -Hn; cat /proc/self/oom_score_adj; id -u; id -g'
    expect(await shell(script, options)).toBe('5:6:640\n20\n30\n100\n1000\n2000\n')
  })

  asRoot('works with the network of the host', async () => {
    expect(await shell('ls /sys/class/net; readlink /proc/self/ns/net', { network: 'host' })).toContain(
      execFileSync('readlink', ['/proc/self/ns/net']).toString(),
    )
  })

  asRoot('finds its directories below ones that are closed to all others', async () => {
    const closed = mkdtempSync(path.join(roots().data, 'closed-'))
    const script = `
      const { Image, run } = await import(${JSON.stringify(path.resolve('dist/index.js'))})
      const result = await run(await Image.host(), ['id', '-u'], { namespaces: { user: 'private' } })
      console.log(result.stdout + result.stderr)`
    try {
      const out = execFileSync(process.execPath, ['--input-type=module', '-e', script], {
        env: { ...process.env, CAISSON_ROOT: path.join(closed, 'root') },
      })
      expect(out.toString().trim()).toBe('0')
    } finally {
      rmSync(closed, { recursive: true })
    }
  })
})

describe('id maps of a container', () => {
  const map = (first: number, size = 1000) => [{ containerID: 0, hostID: first, size }]

  asRoot('are those of security.userns', async () => {
    const security = { userns: { uidMap: map(500000), gidMap: map(600000, 70000) } }
    const { stdout } = await run(image, ['sh', '-c', 'cat /proc/self/uid_map /proc/self/gid_map'], { security })
    expect(stdout.trim().split(/\s+/).map(Number)).toEqual([0, 500000, 1000, 0, 600000, 70000])
  })

  asRoot('are of each container alone with "auto", and free again afterwards', async () => {
    const auto: RunOptions = { security: { userns: 'auto' } }
    const look = 'cat /proc/self/uid_map; stat -c %u:%g /usr/bin/env; touch /tmp/f; stat -c %u /tmp/f; exec sleep 1000'
    const first = async (program: { pid: number }) =>
      Number(/^\s*0\s+(\d+)\s+65536\s*$/.exec(readFileSync(`/proc/${program.pid}/uid_map`, 'utf8'))?.[1])
    const programs = await Promise.all([1, 2, 3].map(() => background(image, look, auto)))
    const ranges = await Promise.all(programs.map(first))
    for (const [i, from] of ranges.entries())
      for (const other of ranges.slice(i + 1)) expect(Math.abs(from - other)).toBeGreaterThanOrEqual(65536)
    const { stdout } = await run(image, ['sh', '-c', look.replace('; exec sleep 1000', '')], auto)
    expect(stdout).toMatch(/^\s*0\s+\d+\s+65536\n0:0\n0\n$/)
    for (const program of programs) await program[Symbol.asyncDispose]()
    const directory = path.join(roots().run, 'ids')
    const held = await Promise.all(
      readdirSync(directory).map((name) => addon().lock(path.join(directory, name), true, false)),
    )
    expect(held).not.toContain(-1)
    for (const fd of held) addon().closeFd(fd)
  })

  asRoot('must hold the ids that are used', async () => {
    const security = { userns: { uidMap: map(500000), gidMap: map(500000) } }
    await expect(run(image, ['true'], { security, user: '2000' })).rejects.toMatchObject({ stage: 'user' })
    const rootless = [{ containerID: 1, hostID: 500000, size: 10 }]
    await expect(
      run(image, ['true'], { security: { userns: { uidMap: rootless, gidMap: rootless } } }),
    ).rejects.toMatchObject({ code: 'ERR_CAISSON_NAMESPACE', hint: expect.stringContaining('map id 0') })
  })
})
