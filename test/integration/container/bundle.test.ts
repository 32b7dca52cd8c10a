import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import { Container, Image } from '../../../lib/index.js'
import { imageRoots } from '../../../lib/runtime/image/roots.js'
import type { RuntimeSpec } from '../../../lib/spec/runtime.js'
import { busyboxLayer, folder, tar } from '../../support/busybox-image.js'
import { isRoot } from '../../support/needs.js'
import { runBundle } from '../../support/peers.js'
import { makeImage, storeImage } from '../../support/store-images.js'

describe('OCI bundles', () => {
  let dir: string
  beforeEach(() => {
    dir = mkdtempSync('/tmp/caisson-bundle-')
  })
  afterEach(() => rmSync(dir, { recursive: true, force: true }))

  /** As an ordinary user they would need a system manager to give them a cgroup. */
  const besidePeers = isRoot ? test : test.skip

  besidePeers.each(['runc', 'crun'] as const)('%s runs what we wrote for a container', async (name) => {
    await using container = await Container.create(await Image.host(), {
      command: [
        'sh',
        '-c',
        'id -u; hostname; echo $MARK; pwd; grep CapEff /proc/self/status; touch /etc/new; cat /etc/hostname',
      ],
      env: { MARK: 'set' },
      hostname: 'box',
      workdir: '/tmp',
      user: 'nobody:daemon',
      limits: { memory: '64m', pids: 50 },
    })
    const expected = '65534\nbox\nset\n/tmp\nCapEff:\t0000000000000000\nbox\n'
    expect(runBundle(name, container.inspect().bundle)).toMatchObject({ stdout: expected, status: 0 })
    await container.start()
    expect((await container.wait()).stdout).toBe(expected)
  })

  /** A layer may replace what is below it in one stroke, and `etc` is one that users are looked up in. */
  const replaced = () => {
    const archives = [
      busyboxLayer(),
      tar(folder('etc'), folder('data'), { name: 'etc/secret', data: 'below' }, { name: 'data/secret', data: 'below' }),
      tar(
        folder('etc'),
        { name: 'etc/.wh..wh..opq' },
        { name: 'etc/passwd', data: 'app:x:7:8::/:/bin/sh\n' },
        { name: '.wh.data' },
        folder('data'),
        { name: 'data/new', data: 'above' },
      ),
    ]
    const image = makeImage(archives, { Cmd: ['/bin/sh'] })
    return { image, name: 'docker.io/library/replaced:1' }
  }

  besidePeers.each(['runc', 'crun'] as const)('%s shows nothing that a layer hides', async (name) => {
    const { image, name: reference } = replaced()
    await storeImage((await imageRoots()).store, image, reference)
    const made = await Image.get(reference)
    await using container = await Container.create(made, {
      command: ['sh', '-c', 'ls /etc /data; cat /etc/passwd; id -u; id -G'],
      user: 'app',
    })
    const { stdout: theirs } = runBundle(name, container.inspect().bundle)
    expect(theirs).not.toContain('secret')
    // As the passwd above says, and no group that only the layers below know.
    expect(theirs).toMatch(/\n7\n8\n$/)
    await container.start()
    expect(theirs).toBe((await container.wait()).stdout)
    await container.remove()
    await made.remove({ force: true })
  })

  /** What `runc spec` writes, with a busybox root. */
  const bundle = (change: (spec: RuntimeSpec) => void) => {
    mkdirSync(path.join(dir, 'rootfs/bin'), { recursive: true })
    cpSync('/bin/busybox', path.join(dir, 'rootfs/bin/busybox'))
    for (const applet of ['sh', 'cat', 'id', 'ls', 'hostname', 'grep', 'touch'])
      if (!existsSync(path.join(dir, 'rootfs/bin', applet)))
        symlinkSync('busybox', path.join(dir, 'rootfs/bin', applet))
    rmSync(path.join(dir, 'config.json'), { force: true })
    execFileSync('runc', ['spec'], { cwd: dir })
    const file = path.join(dir, 'config.json')
    const spec = JSON.parse(readFileSync(file, 'utf8')) as RuntimeSpec
    if (spec.process) spec.process.terminal = false
    change(spec)
    writeFileSync(file, JSON.stringify(spec))
    return dir
  }
  const command = (spec: RuntimeSpec, script: string) => {
    if (spec.process) spec.process.args = ['/bin/sh', '-c', script]
  }

  besidePeers('we run the bundle that runc runs, with the same outcome', async () => {
    const script =
      'id; hostname; grep -E "Cap|NoNew" /proc/self/status; ls /; ls /dev; cat /proc/sys/kernel/hostname; exit 3'
    bundle((spec) => command(spec, script))
    const theirs = runBundle('runc', dir)
    await using container = await Container.fromBundle(dir)
    await container.start()
    const result = await container.wait()
    expect(theirs.status).toBe(3)
    expect({ stdout: result.stdout, status: result.exitCode }).toEqual({ stdout: theirs.stdout, status: theirs.status })
  })

  test('hooks run where and when the specification says', async () => {
    const log = path.join(dir, 'log')
    const hook = path.join(dir, 'hook.sh')
    writeFileSync(
      hook,
      `#!/bin/sh\nread state\necho "$1 $(echo "$state" | grep -o '"status": *"[a-z]*"' | cut -d'"' -f4) $(readlink /proc/self/ns/mnt)" >> ${log}\n`,
    )
    chmodSync(hook, 0o755)
    mkdirSync(path.join(dir, 'rootfs'), { recursive: true })
    bundle((spec) => {
      command(spec, 'cat /hooked; echo main')
      const host = (name: string) => [{ path: hook, args: ['hook', name] }]
      spec.hooks = {
        prestart: host('prestart'),
        createRuntime: host('createRuntime'),
        createContainer: host('createContainer'),
        startContainer: [{ path: '/bin/sh', args: ['sh', '-c', 'echo startContainer > /hooked'] }],
        poststart: host('poststart'),
        poststop: host('poststop'),
      }
      if (spec.root) spec.root.readonly = false
    })
    const container = await Container.fromBundle(dir)
    await container.start()
    expect((await container.wait()).stdout).toBe('startContainer\nmain\n')
    await container.remove()
    const lines = readFileSync(log, 'utf8')
      .trim()
      .split('\n')
      .map((line) => line.split(' '))
    const own = readlinkSync('/proc/self/ns/mnt')
    expect(lines.map(([name]) => name)).toEqual([
      'prestart',
      'createRuntime',
      'createContainer',
      'poststart',
      'poststop',
    ])
    expect(lines.map(([, status]) => status)).toEqual([
      'creating',
      'creating',
      'creating',
      expect.stringMatching(/running|stopped/),
      'stopped',
    ])
    expect(lines.map(([, , ns]) => ns === own)).toEqual([true, true, false, true, true])
  })

  test('a hook that fails stops the start', async () => {
    bundle((spec) => {
      command(spec, 'echo never')
      spec.hooks = { createRuntime: [{ path: '/bin/false' }] }
    })
    await using container = await Container.fromBundle(dir)
    await expect(container.start()).rejects.toMatchObject({ code: 'ERR_CAISSON_HOOK' })
    bundle((spec) => {
      command(spec, 'echo never')
      spec.hooks = { startContainer: [{ path: '/bin/sh', args: ['sh', '-c', 'exit 7'] }] }
    })
    await using second = await Container.fromBundle(dir)
    await expect(second.start()).rejects.toMatchObject({ code: 'ERR_CAISSON_HOOK' })
  })

  test('what is no bundle is an error that says why', async () => {
    await expect(Container.fromBundle('/no/such')).rejects.toMatchObject({ code: 'ERR_CAISSON_BUNDLE' })
    writeFileSync(path.join(dir, 'config.json'), '{')
    await expect(Container.fromBundle(dir)).rejects.toMatchObject({ code: 'ERR_CAISSON_BUNDLE' })
    for (const spec of [
      {},
      { ociVersion: '2.0.0' },
      { ociVersion: '1.0.2', root: { path: 'rootfs' }, process: { args: [], cwd: '/' } },
    ]) {
      writeFileSync(path.join(dir, 'config.json'), JSON.stringify(spec))
      await expect(Container.fromBundle(dir)).rejects.toMatchObject({ code: 'ERR_CAISSON_BUNDLE' })
    }
  })
})
