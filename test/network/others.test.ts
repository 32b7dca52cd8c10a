/** dockerd and podman beside us, with networks and published ports of their own: nothing of theirs changes, all works. */
import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Container, Image, Network, run } from '../../lib/index.js'
import { noBusybox } from '../support/busybox-image.js'
import { type Dockerd, noDocker, startDockerd } from '../support/dockerd.js'
import { attempt, HERE, Lan, noLan, SERVER, shell, THERE, until } from '../support/lan.js'
import { findProgram, testIf } from '../support/needs.js'

const missing = noLan || noDocker || noBusybox || (!findProgram('podman') && 'no podman')
const it = testIf(missing)
const lan = Lan.forTests(missing)

/** Rules that are not ours, without what they have counted. */
function othersRules(): string {
  const tables = shell('nft list ruleset').split(/^(?=table )/m)
  const others = tables.filter((table) => !/^table \w+ caisson/.test(table)).join('')
  return others.replace(/counter packets \d+ bytes \d+/g, 'counter')
}

describe('beside dockerd and podman', () => {
  const directory = mkdtempSync(path.join(tmpdir(), 'caisson-others-'))
  const root = path.join(directory, 'rootfs')
  const archive = path.join(directory, 'rootfs.tar')
  let dockerd: Dockerd
  let image: Image
  const podman = (...args: string[]) => {
    const own = ['--root', path.join(directory, 'podman'), '--runroot', path.join(directory, 'podman-run')]
    const all = [...own, '--storage-driver', 'vfs', '--runtime', 'runc', '--cgroup-manager', 'cgroupfs', ...args]
    return execFileSync('podman', all, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], timeout: 60_000 })
  }
  const HTTPD = ['/bin/busybox', 'httpd', '-f', '-p', '80', '-h', '/www']
  const seen = (port: number) => lan.tries(`curl -s -m 3 http://${HERE}:${port}/`)?.trim()

  // What dockerd drops is also what its neighbours publish for podman.
  const theirs = () => `${seen(8090)} ${attempt('curl -s -m 3 127.0.0.1:8091')?.trim()}`

  beforeAll(async () => {
    if (missing) return
    shell('mount --make-rprivate /; mount -t tmpfs tmpfs /run/netns 2>/dev/null || true')
    for (const name of ['bin', 'www']) mkdirSync(path.join(root, name), { recursive: true })
    copyFileSync('/bin/busybox', path.join(root, 'bin/busybox'))
    symlinkSync('busybox', path.join(root, 'bin/sh'))
    writeFileSync(path.join(root, 'www/index.html'), 'theirs\n')
    execFileSync('tar', ['-C', root, '-cf', archive, '.'])
    dockerd = await startDockerd(path.join(directory, 'docker'), { network: true })
    await dockerd.docker('import', archive, 'box')
    await dockerd.docker('run', '-d', '--name', 'one', '-p', '8090:80', 'box', ...HTTPD)
    podman('import', archive, 'box')
    const limits = ['--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=1024:1024']
    podman('run', '-d', '--name', 'two', '-p', '8091:80', ...limits, 'box', ...HTTPD)
    image = await Image.host()
    lan.background('there', SERVER('neighbour', 9000))
  }, 120_000)
  afterAll(async () => {
    if (missing) return
    podman('rm', '-f', '-t', '0', 'two')
    await dockerd.docker('rm', '-f', 'one')
    await dockerd[Symbol.asyncDispose]()
    rmSync(directory, { recursive: true, force: true })
  }, 60_000)

  it('nothing of theirs changes, and ports of all are served; what they drop passes when they are told to', async () => {
    await until(() => theirs() === 'theirs theirs', 20_000)
    await until(() => attempt(`curl -s -m 3 ${THERE}:9000`)?.startsWith('neighbour') ?? false)
    let before = othersRules()
    expect(before).toContain('DOCKER')
    const network = await Network.create({ name: 'ours' })
    const web = await Container.create(image, {
      name: 'web',
      network,
      command: SERVER('ours'),
      ports: [{ container: 80, host: 8092, address: '*' }],
    })
    try {
      await web.start()
      await until(() => seen(8092)?.startsWith('ours') ?? false)
      expect(attempt(`curl -s -m 3 127.0.0.1:8092`)).toContain('ours')
      expect(othersRules()).toBe(before)
      // A container of theirs that comes later, on a network that is made later.
      await dockerd.docker('network', 'create', 'later')
      await dockerd.docker('run', '-d', '--name', 'three', '--network', 'later', '-p', '8093:80', 'box', ...HTTPD)
      await until(() => seen(8093) === 'theirs')
      await dockerd.docker('rm', '-f', 'three')
      await dockerd.docker('network', 'rm', 'later')
      expect(theirs()).toBe('theirs theirs')
      // dockerd has put its own into another order.
      before = othersRules()
      // As the warning has it.
      const consent = ['-i', '-o'].map((way) => `DOCKER-USER ${way} 'cnb-+' -j ACCEPT`)
      shell(consent.map((rule) => `iptables -I ${rule}`).join('; '))
      try {
        const urls = `for to in ${THERE}:9000 web; do curl -s -m 5 $to || echo none; echo; done`
        const { stdout } = await run(image, ['sh', '-c', urls], { network })
        expect(stdout).toMatch(/^neighbour .*\nours .*\n$/)
      } finally {
        shell(consent.map((rule) => `iptables -D ${rule}`).join('; '))
      }
    } finally {
      await web.remove({ force: true })
      await network.remove()
    }
    expect(othersRules()).toBe(before)
    expect(theirs()).toBe('theirs theirs')
  }, 90_000)
})
