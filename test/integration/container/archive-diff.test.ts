/** What containers change, and images of archives. */
import { execFileSync, spawnSync } from 'node:child_process'
import { createReadStream, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { gzipSync } from 'node:zlib'
import { Container, Image } from '../../../lib/index.js'
import { archive } from '../../support/archive.js'
import { isRoot } from '../../support/needs.js'
import { STATES, sleeper } from '../../support/sleeper.js'
import { removeScratch, scratch } from '../../support/tree.js'

afterAll(removeScratch)

describe('diff', () => {
  test.each(STATES)('tells what was added, modified and deleted: %s', async (_name, storage, running) => {
    await using container = await sleeper({ storage })
    await container.start()
    expect(await container.diff()).toEqual([])
    const script = [
      'mkdir /var/new; echo x > /var/new/x',
      'echo more >> /etc/services',
      'chmod 700 /opt',
      'rm /etc/protocols; rm -r /etc/alternatives',
      'rm /etc/debian_version; mkdir /etc/debian_version',
      'mv /etc/os-release /srv/moved; ln -s x /srv/link',
      'touch /srv/gone; rm /srv/gone',
      'echo x > /dev/shm/x; echo x > /tmp/.x; rm /tmp/.x',
    ]
    expect(await container.exec(['sh', '-ec', script.join('\n')])).toMatchObject({ exitCode: 0, stderr: '' })
    if (!running) await container.stop({ timeout: 10 })
    expect(await container.diff()).toEqual([
      { path: '/etc', kind: 'modified' },
      { path: '/etc/alternatives', kind: 'deleted' },
      { path: '/etc/debian_version', kind: 'modified' },
      { path: '/etc/os-release', kind: 'deleted' },
      { path: '/etc/protocols', kind: 'deleted' },
      { path: '/etc/services', kind: 'modified' },
      { path: '/opt', kind: 'modified' },
      { path: '/srv', kind: 'modified' },
      { path: '/srv/link', kind: 'added' },
      { path: '/srv/moved', kind: 'added' },
      { path: '/tmp', kind: 'modified' },
      { path: '/var', kind: 'modified' },
      { path: '/var/new', kind: 'added' },
      { path: '/var/new/x', kind: 'added' },
    ])
  })

  test.each(['memory', 'disk'] as const)('does not count places of our own mounts: %s', async (storage) => {
    const root = scratch()
    mkdirSync(path.join(root, 'etc'))
    mkdirSync(path.join(root, 'bin'))
    execFileSync('cp', [execFileSync('which', ['busybox'], { encoding: 'utf8' }).trim(), path.join(root, 'bin/sh')])
    await using container = await Container.create(await Image.fromRootfs(root), {
      storage,
      command: ['/bin/sh', '-c', 'echo x > /etc/mine; while :; do sleep 1; done'],
      mounts: [{ type: 'tmpfs', target: '/etc/scratch' }],
    })
    await container.start()
    while (!(await container.fs.readdir('/etc')).includes('mine'))
      await new Promise((resolve) => setTimeout(resolve, 5))
    expect(await container.diff()).toEqual([
      { path: '/etc', kind: 'modified' },
      { path: '/etc/mine', kind: 'added' },
    ])
    await container.fs.rm('/etc/mine')
    expect(await container.diff()).toEqual([])
  })

  test('of a bundle, whose root is used in place, there is none', async () => {
    const bundle = scratch()
    mkdirSync(path.join(bundle, 'rootfs'))
    const config = {
      ociVersion: '1.0.2',
      root: { path: 'rootfs' },
      process: { args: ['/x'], cwd: '/', user: { uid: 0, gid: 0 } },
      linux: { namespaces: [{ type: 'mount' }] },
    }
    writeFileSync(path.join(bundle, 'config.json'), JSON.stringify(config))
    await using container = await Container.fromBundle(bundle)
    await expect(container.diff()).rejects.toMatchObject({ code: 'ERR_CAISSON_UNSUPPORTED' })
  })
})

describe('Image.fromRootfs of an archive', () => {
  function busyboxRoot(): string {
    const root = scratch()
    mkdirSync(path.join(root, 'bin'))
    execFileSync('cp', [
      execFileSync('which', ['busybox'], { encoding: 'utf8' }).trim(),
      path.join(root, 'bin/busybox'),
    ])
    symlinkSync('busybox', path.join(root, 'bin/sh'))
    if (isRoot) execFileSync('mknod', [path.join(root, 'device'), 'b', '7', '0'])
    return root
  }

  test('a file, a stream or bytes; plain or compressed', async () => {
    const tar = execFileSync('tar', ['-C', busyboxRoot(), '-c', '.'], { maxBuffer: 1 << 26 })
    const file = path.join(scratch(), 'root.tar')
    writeFileSync(file, tar)
    const compressed = path.join(scratch(), 'root.tar.gz')
    writeFileSync(compressed, gzipSync(tar))
    const ids = new Set<string>()
    for (const source of [file, compressed, createReadStream(compressed), tar]) {
      const made = await Image.fromRootfs(source, { Env: ['X=y'] })
      await using container = await Container.create(made, { command: ['/bin/sh', '-c', 'echo $X; busybox ls /'] })
      await container.start()
      const { stdout } = await container.wait()
      expect(stdout.startsWith('y\nbin\ndev\n')).toBe(true)
      expect(stdout).not.toContain('device')
      ids.add(made.id)
    }
    expect(ids.size).toBe(1)
  })

  test('leaves nothing behind when it fails, nor when its process ends', async () => {
    const root = scratch()
    const tar = path.join(scratch(), 'root.tar')
    writeFileSync(tar, archive({ name: 'deep/'.repeat(300), type: '5', mode: 0o755 }, { name: 'file', data: 'x' }))
    const damaged = path.join(scratch(), 'damaged.tar')
    writeFileSync(damaged, readFileSync(tar).subarray(0, 700))
    const script = `
      import { readdirSync } from 'node:fs'
      import { Image } from 'caisson'
      const refused = await Image.fromRootfs(${JSON.stringify(damaged)}).catch((error) => error.code)
      const images = () => readdirSync(process.env.CAISSON_ROOT + '/owners/' + readdirSync(process.env.CAISSON_ROOT + '/owners')[0] + '/images').length
      const left = images()
      await Image.fromRootfs(${JSON.stringify(tar)})
      console.log(JSON.stringify({ refused, left, made: images() }))
      process.kill(process.pid, 'SIGKILL')`
    const { stdout, signal } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
      cwd: path.resolve(__dirname, '../../..'),
      env: { ...process.env, CAISSON_ROOT: root },
      encoding: 'utf8',
    })
    expect(signal).toBe('SIGKILL')
    expect(JSON.parse(stdout)).toEqual({ refused: 'ERR_CAISSON_LAYER', left: 0, made: 1 })
    const owners = () => readdirSync(path.join(root, 'owners'))
    for (const until = Date.now() + 5000; owners().length > 0 && Date.now() < until; )
      await new Promise((resolve) => setTimeout(resolve, 20))
    expect(owners()).toEqual([])
  })

  test('a path that is neither', async () => {
    await expect(Image.fromRootfs('/nowhere')).rejects.toMatchObject({ code: 'ERR_CAISSON_IMAGE_NOT_FOUND' })
    await expect(Image.fromRootfs(5 as never)).rejects.toMatchObject({ code: 'ERR_CAISSON_INVALID_ARGUMENT' })
  })
})
