/** What is chosen inside sandboxes of others, and what the caller is told. */
import type { IsolationReport, Report } from '../../../lib/index.js'
import { findProgram, isRoot, testIf } from '../../support/needs.js'
import { NO_NAMESPACES, within } from '../../support/outer.js'

const asRoot = testIf(!isRoot && 'only root may')
const withUnshare = testIf(!findProgram('unshare') && 'unshare, of util-linux')

interface Failure {
  code: string
  stage: string
  hint: string
  message: string
}

const SEE = `
const image = await Image.host()
const inspect = async (options) => {
  await using container = await Container.create(image, { command: ['sleep', '1000'], ...options })
  await container.start()
  return container.inspect()
}`

describe('where clone3 is refused', () => {
  test('processes are made by the older call, with everything as usual', async () => {
    const { inspection, output, exec, group } = await within<{
      inspection: { isolation: IsolationReport; cgroup: { unified: string | null } }
      output: string
      exec: string
      group: string
    }>(
      `${SEE}
      const { stdout: output } = await run(image, ['sh', '-c', 'echo $$; ls /sys/class/net'])
      await using container = await Container.create(image, { command: ['sleep', '1000'], init: true })
      await container.start()
      const { stdout: exec } = await container.exec(['sh', '-c', 'cat /proc/1/comm; exit 3'])
      const group = readFileSync('/proc/' + container.pid + '/cgroup', 'utf8')
      show({ output, exec, inspection: container.inspect(), group })
      import { readFileSync } from 'node:fs'`,
      { forbid: 'clone3=ENOSYS' },
    )
    expect(inspection.isolation).toMatchObject({ tier: 'namespaces', proc: 'own', layers: 'overlay' })
    expect(output).toBe('1\nlo\n')
    expect(exec).toBe('caisson-init\n')
    const { unified } = inspection.cgroup
    if (unified) expect(group).toContain(unified.split('/').at(-1))
  })

  test('the doctor says so, and that containers run', async () => {
    const report = await within<Report>('show(await doctor())', { forbid: 'clone3=ENOSYS' })
    expect(report.tier).toBe('namespaces')
    expect(report.findings.find(({ id }) => id === 'syscall.clone3')).toMatchObject({ state: 'warning' })
  })
})

describe('where namespaces are refused', () => {
  const forbid = NO_NAMESPACES

  test.each([
    ['all that makes them', NO_NAMESPACES],
    ['unshare', 'unshare,clone:0x7e020000'],
    ['mount', 'mount'],
    ['fsopen', 'fsopen=ENOSYS'],
    ['pivot_root', 'pivot_root'],
  ])('by a filter of %s, nothing is run unless the caller accepts Landlock', async (_, forbid) => {
    const { refused, named, accepted } = await within<{ refused: Failure; named: Failure; accepted: string }>(
      `const image = await Image.host()
      const id = (security) => run(image, ['sh', '-c', 'echo ran'], { security })
      const refused = await failing(id(undefined))
      const named = await failing(id({ require: 'namespaces' }))
      show({ refused, named, accepted: (await id({ require: 'landlock' })).stdout })`,
      { forbid },
    )
    for (const failure of [refused, named])
      expect(failure).toMatchObject({
        code: 'ERR_CAISSON_SECURITY_UNAVAILABLE',
        stage: 'isolation',
        hint: expect.stringContaining("require: 'landlock'"),
      })
    expect(accepted).toBe('ran\n')
  })

  withUnshare('by the limit of their number', async () => {
    const outer = ['unshare', '-Ur', 'sh', '-c', 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"', 'sh']
    const { refused, accepted } = await within<{ refused: Failure; accepted: string }>(
      `const image = await Image.host()
      const refused = await failing(run(image, ['true']))
      show({ refused, accepted: (await run(image, ['echo', 'ran'], { security: { require: 'landlock' } })).stdout })`,
      { outer },
    )
    expect(refused).toMatchObject({ code: 'ERR_CAISSON_SECURITY_UNAVAILABLE', stage: 'isolation' })
    expect(accepted).toBe('ran\n')
  })

  test('containers, pools and bundles are refused alike', async () => {
    const failures = await within<Failure[]>(
      `const image = await Image.host()
      const pool = new Pool(image, { size: 1 })
      const failures = [
        await failing(Container.create(image, {})),
        await failing(pool.ready()),
        await failing(Container.fromBundle('/nowhere')),
      ]
      await pool[Symbol.asyncDispose]()
      show(failures)`,
      { forbid },
    )
    for (const failure of failures) expect(failure).toMatchObject({ code: 'ERR_CAISSON_SECURITY_UNAVAILABLE' })
  })

  test('and Landlock too: nothing is run', async () => {
    const refused = await within<Failure>(
      `show(await failing(run(await Image.host(), ['true'], { security: { require: 'landlock' } })))`,
      { forbid: `${NO_NAMESPACES},landlock_create_ruleset=ENOSYS` },
    )
    expect(refused).toMatchObject({ code: 'ERR_CAISSON_SECURITY_UNAVAILABLE', stage: 'isolation' })
    expect(refused.hint).not.toContain("require: 'landlock'")
  })

  test('inspect(), events and the doctor name the tier, and what it does not keep apart', async () => {
    const { inspection, report, tiers } = await within<{
      inspection: { tier: string; isolation: IsolationReport; workdir: string; bundle: string }
      report: Report
      tiers: string[]
    }>(
      `import { subscribe } from 'node:diagnostics_channel'
      const tiers = []
      subscribe('caisson:start', ({ tier }) => tiers.push(tier))
      ${SEE}
      const inspection = await inspect({ security: { require: 'landlock' } })
      show({ inspection, report: await doctor(), tiers })`,
      { forbid },
    )
    expect(inspection).toMatchObject({ tier: 'landlock', bundle: '', workdir: expect.stringMatching(/sandboxes/) })
    const { isolation } = inspection
    expect(isolation).toMatchObject({ tier: 'landlock', proc: 'none', layers: null, ids: 1 })
    expect(isolation.landlock).toBeGreaterThanOrEqual(2)
    expect(isolation.notGuaranteed.join(' ')).toMatch(/processes.*root of its own.*disk/)
    expect(report.tier).toBe('landlock')
    expect(report.findings.find(({ id }) => id === 'isolation')).toMatchObject({ state: 'missing' })
    expect(tiers).toEqual(['landlock'])
  })

  test('a sandbox has files, output, limits of time, signals and execs', async () => {
    const seen = await within<Record<string, unknown>>(
      `const image = await Image.host()
      const security = { require: 'landlock' }
      const { stdout, exitCode } = await run(image, ['sh', 'main.sh'], {
        security, input: 'in', files: { 'main.sh': 'cat; echo " $A"; echo x > made; cat made; exit 3' }, env: { A: 'a' } })
      const late = await run(image, ['sleep', '1000'], { security, timeout: 100 })
      const flood = await run(image, ['yes'], { security, maxOutput: 1000 })
      const killed = run(image, ['sleep', '1000'], { security })
      await killed.pid
      killed.kill('SIGTERM')
      const none = await run(image, ['no-such-program'], { security })
      await using container = await Container.create(image, { command: ['sh', '-c', 'echo log; sleep 1000'], security })
      await container.start()
      while (!(await container.top()).some(({ command }) => command.startsWith('sleep')))
        await new Promise((resolve) => setTimeout(resolve, 10))
      const inside = await container.exec(['sh', '-c', 'echo y > shared; pwd'])
      const other = await container.exec(['cat', 'shared'])
      const names = (await container.top()).map(({ command }) => command)
      const hanging = container.exec(['sleep', '1000'])
      await hanging.pid
      await container.stop({ timeout: 100 })
      const logs = []
      for await (const { data } of container.logs()) logs.push(data.toString())
      await using pool = new Pool(image, { size: 1, security })
      const pooled = await pool.run(['cat', 'f'], { files: { f: 'pooled' } })
      show({ stdout, exitCode, late: late.reason, flood: flood.reason, killed: (await killed).signal, none: none.exitCode,
        same: inside.stdout.trim() === container.inspect().workdir, other: other.stdout, names, logs,
        hanging: (await hanging).signal, pooled: pooled.stdout })`,
      { forbid },
    )
    expect(seen).toEqual({
      stdout: 'in a\nx\n',
      exitCode: 3,
      late: 'timeout',
      flood: 'output',
      killed: 'SIGTERM',
      none: 127,
      same: true,
      other: 'y\n',
      names: expect.arrayContaining(['sleep']),
      logs: ['log\n'],
      hanging: 'SIGKILL',
      pooled: 'pooled',
    })
  })

  test('what needs namespaces is an error, never left out', async () => {
    const options = [
      { hostname: 'x' },
      { devices: ['/dev/null'] },
      { sysctls: { 'net.core.somaxconn': '1' } },
      { namespaces: { net: 'private' } },
      { mounts: [{ type: 'tmpfs', target: '/scratch' }] },
      { mounts: [{ type: 'bind', source: '/usr', target: '/other' }] },
      { limits: { disk: '1m' } },
      { user: 'nobody' },
      { security: { privileged: true } },
      { security: { noNewPrivileges: false } },
      { security: { capabilities: { add: ['NET_RAW'] } } },
      { security: { seccomp: 'unconfined' } },
      { security: { landlock: 'off' } },
    ]
    const codes = await within<string[]>(
      `const image = await Image.host()
      const codes = []
      for (const options of ${JSON.stringify(options)})
        codes.push((await failing(run(image, ['true'], { ...options, security: { ...options.security, require: 'landlock' } }))).code)
      const made = await Image.fromRootfs('/usr')
      codes.push((await failing(run(made, ['true'], { security: { require: 'landlock' } }))).code)
      await using container = await Container.create(image, { command: ['sleep', '1000'], security: { require: 'landlock' } })
      await container.start()
      codes.push((await failing(container.fs.readFile('/etc/hostname'))).code)
      codes.push((await failing(container.diff())).code)
      show(codes)`,
      { forbid },
    )
    expect(codes).toEqual(codes.map(() => 'ERR_CAISSON_UNSUPPORTED'))
    expect(codes).toHaveLength(options.length + 3)
  })
})

/** Words that set something up by root, in a mount namespace of its own, and then go on with the command. */
const prepared = (script: string) => [
  'unshare',
  '-m',
  '--propagation',
  'private',
  'sh',
  '-c',
  `${script} && exec "$@"`,
  'sh',
]
const USER = 64_321

describe('where the kernel mounts no new /proc and /sys, as parts of them are hidden', () => {
  const outer = prepared('for d in /proc/fs /sys/firmware; do mount -t tmpfs -o ro,size=4k none $d || exit 125; done')

  asRoot(
    'a container shows those that are there, and neither the owner nor its other containers are open',
    async () => {
      const seen = await within<{
        isolation: IsolationReport
        own: string
        write: string
        others: string[]
        hidden: string
      }>(
        `${SEE}
      const sh = (script, options) => run(image, ['sh', '-c', script], options)
      const isolation = (await inspect({})).isolation
      await using neighbour = await Container.create(image, { command: ['sleep', '1000'] })
      await neighbour.start()
      const { stdout: own } = await sh('readlink /proc/self/exe; ls /sys/class/net | wc -l')
      const { stderr: write } = await sh('echo x > /proc/sys/kernel/hostname; echo 0 > /proc/self/oom_score_adj; echo h > /proc/sysrq-trigger')
      const { stdout: hidden } = await sh('ls /proc/fs /sys/firmware | wc -w')
      const others = []
      await using another = await Container.create(image, { command: ['sleep', '1000'] })
      await another.start()
      for (const pid of [process.pid, neighbour.pid])
        for (const what of ['cat /proc/PID/environ', 'ls /proc/PID/root/', 'head -c1 /proc/PID/mem', 'readlink /proc/PID/cwd', 'kill -0 PID']) {
          const program = ['sh', '-c', what.replace('PID', pid)]
          others.push((await run(image, program)).exitCode, (await another.exec(program)).exitCode)
        }
      show({ isolation, own, write, hidden, others })`,
        { outer, uid: USER },
      )
      expect(seen.isolation).toMatchObject({ tier: 'namespaces', proc: 'outer', sys: 'outer', ids: 1 })
      expect(seen.isolation.notGuaranteed.join(' ')).toMatch(/command lines.*network devices.*one user/)
      expect(seen.own).toMatch(/^\/usr\/bin\/readlink\n[1-9]/)
      expect(seen.write.trim().split('\n')).toHaveLength(3)
      // The names of the two directories alone.
      expect(seen.hidden.trim()).toBe('2')
      expect(seen.others).not.toContain(0)
      expect(seen.others).toHaveLength(20)
    },
  )
})

/** The kernel stacks two: an image on one of one can have no other above it, and a writable layer lies on none. */
const overlays = (count: number) =>
  prepared(
    `mount -t tmpfs none /mnt && cd /mnt && mkdir 0 && chmod 1777 0 && for i in ${Array.from({ length: count }, (_, i) => i + 1).join(' ')}; do
      mkdir u$i w$i $i; chmod 1777 u$i; mount -t overlay o -o lowerdir=$((i-1)),upperdir=u$i,workdir=w$i $i || exit 125; done
    export CAISSON_ROOT=$PWD/${count}/root`,
  )

describe('where overlay is refused', () => {
  const script = (storage: string) =>
    `${SEE}
    await using container = await Container.create(image, { command: ['sleep', '1000'], storage: '${storage}', limits: LIMITS })
    await container.start()
    const sh = async (script) => (await container.exec(['sh', '-c', script])).stdout
    const before = await sh('stat -c %a /tmp /root | tr "\\n" " "; ls /etc/services; echo x > /etc/new; rm /etc/services; echo y >> /etc/protocols')
    const changes = (await container.diff()).map(({ path, kind }) => kind + ' ' + path)
    const { isolation, upper } = container.inspect()
    let after = ''
    if ('${storage}' === 'disk') {
      await container.restart({ timeout: 0 })
      after = await sh('cat /etc/new; ls /etc/services 2>/dev/null')
    }
    const { stdout } = await run(image, ['sh', '-c', 'head -c 3000000 /dev/zero > /tmp/x; stat -c %s /tmp/x'], { limits: { disk: '1m' } })
    await container.remove({ force: true })
    show({ before, changes, layers: isolation.layers, after, bounded: Number(stdout), left: upper && existsSync(upper) })
    import { existsSync } from 'node:fs'`.replace('LIMITS', '{}')

  const cases: Array<[where: string, storage: string, count: number]> = [
    ['on disk alone, where the data lies on an overlay', 'disk', 1],
    ['everywhere, where overlays are stacked', 'memory', 2],
    ['everywhere, and on disk', 'disk', 2],
  ]
  for (const [where, storage, count] of cases)
    asRoot(`${where}: layers are copied`, async () => {
      for (const uid of [undefined, USER]) {
        const seen = await within<Record<string, unknown>>(script(storage), {
          outer: overlays(count),
          uid,
          env: { CAISSON_ROOT: undefined },
        })
        expect(seen).toEqual({
          before: '1777 700 /etc/services\n',
          changes: ['modified /etc', 'added /etc/new', 'modified /etc/protocols', 'deleted /etc/services'],
          layers: 'copy',
          after: storage === 'disk' ? 'x\n' : '',
          bounded: expect.any(Number),
          left: storage === 'disk' ? false : null,
        })
        expect(seen.bounded).toBeGreaterThan(500_000)
        expect(seen.bounded).toBeLessThanOrEqual(1024 * 1024)
      }
    })
})

const withBusybox = testIf(!isRoot ? 'only root may' : !findProgram('busybox') && 'no busybox (apt: busybox-static)')
withBusybox('where overlay is refused a file of an image that is one large hole takes no memory', async () => {
  const seen = await within<string>(
    `import { copyFileSync, mkdirSync, mkdtempSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs'
    const root = mkdtempSync('/mnt/root-')
    mkdirSync(root + '/bin')
    copyFileSync('${findProgram('busybox')}', root + '/bin/busybox')
    symlinkSync('busybox', root + '/bin/sh')
    writeFileSync(root + '/file', 'begins')
    truncateSync(root + '/file', 2 ** 28)
    const script = 'busybox stat -c "%s %b" /file; busybox head -c 6 /file'
    show((await run(await Image.fromRootfs(root), ['/bin/sh', '-c', script])).stdout)`,
    { outer: overlays(2), env: { CAISSON_ROOT: undefined } },
  )
  const [size, blocks, begins] = seen.split(/\s/)
  expect([Number(size), Number(blocks) < 100, begins]).toEqual([2 ** 28, true, 'begins'])
})

describe('where namespaces are to be had', () => {
  test('a caller who accepts Landlock alone gets them all the same', async () => {
    const tier = await within<string>(`${SEE}
    show((await inspect({ security: { require: 'landlock' } })).tier)`)
    expect(tier).toBe('namespaces')
  })

  asRoot('root without CAP_SYS_ADMIN has its containers in a user namespace', async () => {
    const outer = ['setpriv', '--bounding-set=-sys_admin', '--inh-caps=-sys_admin']
    const { map, tier } = await within<{ map: string; tier: string }>(
      `${SEE}
      const { stdout: map } = await run(image, ['cat', '/proc/self/uid_map'])
      show({ map, tier: (await inspect({})).tier })`,
      { outer },
    )
    expect(tier).toBe('namespaces')
    expect(map.trim().split('\n')[0]?.trim().split(/\s+/)).toEqual(['0', '0', '1'])
  })
})
