import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, openSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { Image, run } from '../../../lib/index.js'
import { isRoot } from '../../support/needs.js'

describe('isolation', () => {
  let image: Image
  beforeAll(async () => {
    image = await Image.host()
  })
  const sh = (script: string, options = {}) => run(image, ['sh', '-c', script], options)
  const out = async (script: string, options = {}) => {
    const result = await sh(script, options)
    expect(result.stderr).toBe('')
    return result.stdout.trim()
  }

  test('namespaces are its own, for root the user namespace excepted', async () => {
    const inside = await out('cd /proc/self/ns; for n in pid mnt uts ipc net cgroup time user; do readlink $n; done')
    const types = ['pid', 'mnt', 'uts', 'ipc', 'net', 'cgroup', 'time', 'user']
    const same = inside.split('\n').filter((link, i) => link === readlinkSync(`/proc/self/ns/${types[i]}`))
    expect(same).toEqual(isRoot ? [readlinkSync('/proc/self/ns/user')] : [])
  })

  test('it is process 1 and sees no other', async () => {
    expect(await out('echo $$; ls /proc | grep -c "^[0-9]"')).toMatch(/^1\n[1-3]$/)
  })

  test('the host has no name inside', async () => {
    expect(await out('hostname')).not.toBe(hostname())
    expect(await out('hostname; cat /etc/hostname', { hostname: 'box' })).toBe('box\nbox')
    expect((await sh('ls /root /home /var/lib /run; ls /work')).stdout).toBe('/home:\n\n/root:\n\n/run:\n\n/var/lib:\n')
    expect(await out('env | sort | cut -d= -f1')).toBe('HOME\nHOSTNAME\nPATH\nPWD')
  })

  test('nothing is mounted that shows a path of the host', async () => {
    const mounts = await out('cat /proc/self/mountinfo')
    expect(mounts).not.toMatch(/caisson|\/owners\//)
    expect(mounts.split('\n').map((line) => line.split(' ')[4])).toEqual(
      expect.arrayContaining([
        '/',
        '/proc',
        '/dev',
        '/dev/pts',
        '/dev/shm',
        '/dev/mqueue',
        '/sys',
        '/sys/fs/cgroup',
        '/usr',
      ]),
    )
    // After the pivot the host's tree is gone, not hidden.
    expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toMatch(/caisson/)
  })

  test('standard mounts have the usual flags', async () => {
    const table = await out("awk '{print $5, $6}' /proc/self/mountinfo")
    const flags = new Map(table.split('\n').map((line) => line.split(' ') as [string, string]))
    expect(flags.get('/proc')).toMatch(/^rw,nosuid,nodev,noexec/)
    expect(flags.get('/sys')).toMatch(/^ro,nosuid,nodev,noexec/)
    expect(flags.get('/dev')).toMatch(/^rw,nosuid(?!.*nodev)/)
    expect(flags.get('/dev/pts')).toMatch(/^rw,nosuid,noexec/)
    expect(flags.get('/dev/shm')).toMatch(/^rw,nosuid,nodev,noexec/)
    expect(flags.get('/dev/mqueue')).toMatch(/^rw,nosuid,nodev,noexec/)
    expect(flags.get('/sys/fs/cgroup')).toMatch(/^ro,nosuid,nodev,noexec/)
    expect(flags.get('/usr')).toMatch(/^ro,nosuid,nodev/)
  })

  test('devices: the default ones, and no others can be opened', async () => {
    expect(await out('ls /dev | grep -v core | tr "\\n" " "')).toBe(
      'fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero',
    )
    expect(await out('stat -c "%a %t:%T" /dev/null /dev/zero /dev/tty /dev/full /dev/random /dev/urandom')).toBe(
      '666 1:3\n666 1:5\n666 5:0\n666 1:7\n666 1:8\n666 1:9',
    )
    const reach = 'for at in /tmp /dev; do mknod $at/x c 10 200 && (: < $at/x) && echo opened; done'
    // A node can be made, as in Docker, but not opened: neither in the image's tree nor in /dev.
    expect(await sh(reach)).toMatchObject({
      stdout: '',
      stderr: expect.stringMatching(/(.*Operation not permitted\n){2}/),
    })
    // In a user namespace none can be made at all.
    if (!isRoot) return
    expect(await out('mknod /tmp/z c 1 5; head -c 1 /tmp/z | wc -c')).toBe('1')
    expect((await sh(reach, { devices: ['/dev/net/tun'] })).stdout).toBe('opened\nopened\n')
    expect(await out('stat -c %t:%T /dev/net/tun', { devices: ['/dev/net/tun:/dev/net/tun:r'] })).toBe('a:c8')
    expect((await sh('(: > /dev/net/tun) && echo opened', { devices: ['/dev/net/tun:r'] })).stdout).toBe('')
  })

  test('devices: all of the host where it is privileged, and no user namespace is between', async () => {
    const skipped =
      '-path /dev/pts -o -path /dev/shm -o -path /dev/mqueue -o -path /dev/hugepages -o -path /dev/console'
    const list = `find /dev \\( ${skipped} -o -path /dev/ptmx \\) -prune -o \\( -type c -o -type b \\) -printf '%p %m %U:%G\\n'`
    const standard = ['null', 'zero', 'full', 'random', 'urandom', 'tty'].map((name) => `/dev/${name} `)
    const others = (lines: string) =>
      lines
        .split('\n')
        .filter((line) => line !== '' && !standard.some((name) => line.startsWith(name)))
        .sort()
    const here = others(execFileSync('sh', ['-c', list], { encoding: 'utf8' }).trim())
    const security = { privileged: true }
    expect(others(await out(list, { security }))).toEqual(isRoot ? here : [])
    if (!isRoot) return
    expect(others(await out(list, { security, namespaces: { user: 'private' } }))).toEqual([])
    const readable = here.find((line) => line.startsWith('/dev/loop0 ') || line.startsWith('/dev/kmsg '))
    if (readable) expect(await out(`: < ${readable.split(' ')[0]} && echo opened`, { security })).toBe('opened')
  })

  test('kernel paths are masked and read-only', async () => {
    const masked = 'for f in kcore keys timer_list sched_debug; do test ! -e /proc/$f || cat /proc/$f; done | wc -c'
    expect(await out(`${masked}; ls -A /sys/firmware | wc -l`)).toBe('0\n0')
    for (const file of ['/proc/sys/kernel/hostname', '/proc/sysrq-trigger', '/proc/irq/default_smp_affinity'])
      if (existsSync(file)) expect((await sh(`echo 1 > ${file}`)).stderr).toMatch(/Read-only file system/)
  })

  test('capabilities are the default ones, never inheritable', async () => {
    const status = await out('grep -E "^(Cap|NoNewPrivs|Seccomp:)" /proc/self/status')
    expect(status).toMatch(/CapInh:\t0000000000000000/)
    expect(status).toMatch(/CapPrm:\t00000000a80425fb/)
    expect(status).toMatch(/CapEff:\t00000000a80425fb/)
    expect(status).toMatch(/CapBnd:\t00000000a80425fb/)
    expect(status).toMatch(/CapAmb:\t0000000000000000/)
    expect(status).toMatch(/NoNewPrivs:\t1/)
    const chosen = await out('grep CapEff /proc/self/status', {
      security: { capabilities: { drop: ['ALL'], add: ['net_admin'] } },
    })
    expect(chosen).toBe('CapEff:\t0000000000001000')
  })

  test('a user without privileges, by name and number', async () => {
    const files = {
      '/etc/passwd': 'root:x:0:0::/root:/bin/sh\napp:x:1000:1001::/srv:/bin/sh\n1000:x:0:0::/:/bin/sh\n',
      '/etc/group': 'root:x:0:\napp:x:1001:\nextra:x:1005:x,app\n',
    }
    expect(await out('id -u; id -g; id -G; echo $HOME; grep CapEff /proc/self/status', { user: 'app', files })).toBe(
      '1000\n1001\n1001 1005\n/srv\nCapEff:\t0000000000000000',
    )
    expect(await out('id -u; id -g; id -G', { user: '1000:5', files })).toBe('1000\n5\n5')
    expect(await out('id -u; id -g', { user: 4242, files })).toBe('4242\n0')
    await expect(sh('true', { user: 'nobody-here' })).rejects.toMatchObject({ code: 'ERR_CAISSON_USER_NOT_FOUND' })
  })

  test('network: a loopback of its own and nothing else', async () => {
    expect(await out('cut -d: -f1 /proc/net/dev | tail -n +3 | tr -d " "; cat /sys/class/net/lo/operstate')).toBe(
      'lo\nunknown',
    )
    expect(
      await out('python3 -c "import socket; s=socket.socket(); s.bind((\'127.0.0.1\', 80)); print(s.getsockname())"', {
        user: 99,
      }),
    ).toBe("('127.0.0.1', 80)")
    expect(await out('readlink /proc/self/ns/net', { network: 'host' })).toBe(readlinkSync('/proc/self/ns/net'))
  })

  test('mounts of the caller', async () => {
    const dir = mkdtempSync('/tmp/caisson-test,a:b-')
    writeFileSync(`${dir}/file`, 'host')
    expect(
      await out('cat /in/file; echo x > /in/new; cat /in/new', {
        mounts: [{ type: 'bind', source: dir, target: '/in' }],
      }),
    ).toBe('hostx')
    expect(existsSync(`${dir}/new`)).toBe(true)
    const ro = await sh('echo x > /in/file', { mounts: [{ type: 'bind', source: dir, target: '/in', readOnly: true }] })
    expect(ro.stderr).toMatch(/Read-only/)
    expect(await out('cat /etc/one', { mounts: [{ type: 'bind', source: `${dir}/file`, target: '/etc/one' }] })).toBe(
      'host',
    )
    expect(
      await out('echo changed > /over/file; cat /over/file', {
        mounts: [{ type: 'overlay', source: dir, target: '/over' }],
      }),
    ).toBe('changed')
    expect((await sh('cat /in/file', { mounts: [{ type: 'bind', source: dir, target: '/in' }] })).stdout).toBe('host')
    expect(
      await out('stat -f -c %T /t; df -B1 --output=size /t | tail -1 | tr -d " "', {
        mounts: [{ type: 'tmpfs', target: '/t', size: '1m' }],
      }),
    ).toBe('tmpfs\n1048576')
    expect(await out('stat -c "%a %u %g" /t', { mounts: [{ type: 'tmpfs', target: '/t' }] })).toBe('1777 0 0')
    const execute = 'cp /bin/true /t/true && /t/true && echo yes'
    const flags = 'grep " /t " /proc/mounts | cut -d" " -f4 | cut -d, -f1-4'
    const exec = { mounts: [{ type: 'tmpfs' as const, target: '/t', exec: true }] }
    expect(await out(`${execute}; ${flags}`, exec)).toMatch(/^yes\nrw,nosuid,nodev,relatime/)
    expect(await out(`(${execute}) 2>/dev/null || echo no`, { mounts: [{ type: 'tmpfs', target: '/t' }] })).toBe('no')
    const owned = { mounts: [{ type: 'tmpfs' as const, target: '/t', mode: '2750', uid: 65534, gid: 7 }] }
    expect(await out('stat -c "%a %u %g" /t', owned)).toBe('2750 65534 7')
    expect(await out('touch /t/x; stat -c "%u %g" /t/x', { ...owned, user: 65534 })).toBe('65534 7')
    const invalid = { code: 'ERR_CAISSON_INVALID_ARGUMENT' }
    for (const wrong of [{ mode: '8' }, { mode: 0o10000 }, { uid: -1 }, { gid: 1.5 }])
      await expect(sh('true', { mounts: [{ type: 'tmpfs', target: '/t', ...wrong }] })).rejects.toMatchObject(invalid)
    const mounts = [{ type: 'bind' as const, source: dir, target: '/t', uid: 1 }]
    await expect(sh('true', { mounts })).rejects.toMatchObject(invalid)
    await expect(sh('true', { mounts: [{ type: 'bind', source: '/nowhere', target: '/in' }] })).rejects.toMatchObject({
      code: 'ERR_CAISSON_MOUNT_SOURCE_NOT_FOUND',
    })
  })

  test('a read-only root', async () => {
    const result = await sh(
      'echo x > /x || echo no; echo y > /tmp/y || echo no; echo ok > /dev/shm/z && cat /dev/shm/z',
      { readOnly: true },
    )
    expect(result.stdout).toBe('no\nno\nok\n')
  })

  test('files are injected with their modes', async () => {
    const files = {
      '/app/run.sh': { content: '#!/bin/sh\necho ran\n', mode: 0o755 },
      '/app/deep/er/data': Buffer.from([1, 2]),
      '/root/own': { content: 'x', uid: 7, gid: 8, mode: 0o600 },
    }
    expect(await out('/app/run.sh; stat -c %s /app/deep/er/data; stat -c "%u %g %a" /root/own', { files })).toBe(
      'ran\n2\n7 8 600',
    )
  })

  test('sysctls of its namespaces, and only those', async () => {
    expect(
      await out('cat /proc/sys/net/core/somaxconn /proc/sys/kernel/shm_rmid_forced', {
        sysctls: { 'net.core.somaxconn': '77', 'kernel.shm_rmid_forced': '1' },
      }),
    ).toBe('77\n1')
    await expect(sh('true', { sysctls: { 'kernel.panic': '1' } })).rejects.toMatchObject({
      code: 'ERR_CAISSON_INVALID_ARGUMENT',
    })
  })

  test('a PID 1 that reaps and passes on', async () => {
    const result = await sh('cat /proc/1/comm; (sleep 0.05 &); sleep 0.2; ls -d /proc/[0-9]* | wc -l; exit 9', {
      init: true,
    })
    // With or without the one that counts, which may come later than what it counts.
    expect(result).toMatchObject({ exitCode: 9, stdout: expect.stringMatching(/^caisson-init\n[34]\n$/) })
  })

  test('only three descriptors pass, even when others leak them', async () => {
    const fds = Array.from({ length: 20 }, () => openSync('/etc', 'r'))
    expect(await out('ls /proc/self/fd | tr "\\n" " "')).toBe('0 1 2 3')
    expect(fds).toHaveLength(20)
  })
})
