import { execFileSync, spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { doctor, Image, type Report, run, type SecurityOptions } from '../../../lib/index.js'
import { roots } from '../../../lib/util/roots.js'
import { packageForEveryone } from '../../support/everyone.js'
import { findProgram, isRoot, testIf } from '../../support/needs.js'
import { within } from '../../support/outer.js'

const asRoot = testIf(!isRoot && 'only root may')
const withUnshare = testIf(!findProgram('unshare') && 'unshare, of util-linux')
const dist = path.resolve('dist/index.js')
const scriptOf = (library: string) => `
  const { doctor } = await import(${JSON.stringify(library)})
  console.log(JSON.stringify(await doctor()))`
const SCRIPT = scriptOf(dist)

/** The report of a process of its own. */
function reportOf(command: string[], options: { uid?: number; env?: NodeJS.ProcessEnv } = {}): Report {
  const { uid, env } = options
  const script = uid === undefined ? SCRIPT : scriptOf(packageForEveryone())
  const words = [...command, process.execPath, '--input-type=module', '-e', script]
  const how = uid === undefined ? {} : { uid, gid: uid, cwd: '/' }
  const out = execFileSync(words[0] as string, words.slice(1), { ...how, env: { ...process.env, ...env } })
  return JSON.parse(out.toString())
}

function stateOf(report: Report, id: string): string | undefined {
  return report.findings.find((finding) => finding.id === id)?.state
}

/** What a probe could leave behind. */
function traces(): string[] {
  const cgroups = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => / - cgroup2? /.test(line))
    .flatMap((line) => execFileSync('find', [line.split(' ')[4] as string, '-name', '*caisson-doctor*']).toString())
  const files = readdirSync(roots().data).filter((name) => name.includes('doctor'))
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8').trim().split('\n')
  const processes = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => readStat(pid).startsWith(`${pid} (caisson-init) Z ${process.pid} `))
  return [...cgroups, ...files, ...mounts, ...processes].filter((text) => text !== '')
}

function readStat(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8')
  } catch {
    return ''
  }
}

function expectSound(report: Report): void {
  const ids = report.findings.map(({ id }) => id)
  expect(new Set(ids).size).toBe(ids.length)
  for (const { id, what, state, why, fix } of report.findings) {
    expect({ id, what: what !== '', why: why.endsWith('.') }).toEqual({ id, what: true, why: true })
    if (state === 'ok') expect({ id, fix }).toEqual({ id, fix: '' })
    if (state === 'missing' || state === 'warning') expect({ id, fix }).not.toEqual({ id, fix: '' })
  }
  expect(report.ok).toBe(report.findings.every(({ state }) => state !== 'missing'))
}

describe('doctor', () => {
  let report: Report
  let before: string[]
  let after: string[]
  beforeAll(async () => {
    await Image.host()
    before = traces()
    report = await doctor()
    after = traces()
  })

  test('says of each finding what, why and how to mend it', () => {
    expectSound(report)
    expect(report).toMatchObject({ platform: 'linux', arch: process.arch, uid: process.geteuid?.() })
  })

  test('leaves nothing behind', () => {
    expect(after).toEqual(before)
  })

  const FLAGS = { user: '-U', mnt: '-m', pid: '-pf', net: '-n', ipc: '-i', uts: '-u', cgroup: '-C', time: '-T' }
  for (const [type, flag] of Object.entries(FLAGS))
    withUnshare(`finds of the ${type} namespace what unshare(1) finds`, async () => {
      const flags = isRoot || type === 'user' ? [flag] : ['-U', flag]
      const { status } = spawnSync('unshare', [...flags, 'true'])
      expect(stateOf(report, `namespace.${type}`)).toBe(status === 0 ? 'ok' : 'missing')
    })

  asRoot('finds of overlay what mount(8) finds', async () => {
    const mount =
      'mount -t tmpfs t /mnt && cd /mnt && mkdir l u w m && mount -t overlay o -o lowerdir=l,upperdir=u,workdir=w m'
    const { status } = spawnSync('unshare', ['-m', 'sh', '-c', mount])
    expect(stateOf(report, 'mount.overlay')).toBe(status === 0 ? 'ok' : 'missing')
  })

  asRoot('has a good opinion of a machine where containers run', async () => {
    const { exitCode } = await run(await Image.host(), ['true'])
    expect(exitCode).toBe(0)
    expect(report).toMatchObject({ ok: true, tier: 'namespaces' })
  })
})

describe('doctor elsewhere', () => {
  asRoot('sees what an ordinary user can do', async () => {
    const home = mkdtempSync(path.join(tmpdir(), 'caisson-doctor-'))
    try {
      execFileSync('chown', ['65533', home])
      const report = reportOf([], { uid: 65533, env: { CAISSON_ROOT: path.join(home, 'data') } })
      expectSound(report)
      expect(report.uid).toBe(65533)
      const { status } = spawnSync('unshare', ['-U', '-m', '-n', 'true'], { uid: 65533, gid: 65533 })
      expect(stateOf(report, 'userns.ordinary')).toBe(status === 0 ? 'ok' : 'missing')
      expect(stateOf(report, 'userns.ids')).toBe('warning')
      expect(readdirSync(home)).toEqual([])
    } finally {
      rmSync(home, { recursive: true })
    }
  })

  asRoot('names the setting that forbids a kind of namespace', async () => {
    const limit = 'echo 0 > /proc/sys/user/max_net_namespaces; exec "$@"'
    const report = reportOf(['unshare', '-U', '-r', '-m', 'sh', '-c', limit, 'sh'])
    expectSound(report)
    expect(report).toMatchObject({ ok: false, container: true })
    expect(report.findings.find(({ id }) => id === 'namespace.net')).toMatchObject({
      state: 'missing',
      detail: expect.stringContaining('ENOSPC'),
      fix: expect.stringContaining('user.max_net_namespaces'),
    })
    expect(stateOf(report, 'namespace.uts')).toBe('ok')
  })

  asRoot('names AppArmor’s rule, under which a user namespace gives no rights', async () => {
    // This kernel need not have AppArmor: its setting is shown, and a filter refuses what it does.
    const restricted = `mount -t tmpfs none /proc/sys/kernel && echo 1 > /proc/sys/kernel/apparmor_restrict_unprivileged_userns
      exec "$@"`
    const outer = ['unshare', '-m', 'sh', '-c', restricted, 'sh']
    const forbid = 'unshare:!0x10000000'
    const script = `const { code, message } = await run(await Image.host(), ['true']).catch((error) => error)
      show({ report: await doctor(), code, message })`
    const seen = await within<{ report: Report; code: string; message: string }>(script, { outer, forbid, uid: 65533 })
    expectSound(seen.report)
    const finding = (id: string) => seen.report.findings.find((each) => each.id === id)
    expect(finding('userns.ordinary')).toMatchObject({
      state: 'missing',
      detail: expect.stringContaining('kernel.apparmor_restrict_unprivileged_userns is 1'),
      fix: expect.stringMatching(
        /^sysctl -w kernel.apparmor_restrict_unprivileged_userns=0 .*AppArmor profile for .*"userns,"/,
      ),
    })
    expect(seen).toMatchObject({
      code: 'ERR_CAISSON_SECURITY_UNAVAILABLE',
      message: expect.stringContaining('unshare'),
    })
  })

  const reportInside = async (security: SecurityOptions): Promise<Report> => {
    const source = path.resolve('.')
    const { stdout } = await run(await Image.host(), ['node', '--input-type=module', '-e', SCRIPT], {
      mounts: [{ type: 'bind', source, target: source, readOnly: true }],
      env: { PATH: `/usr/local/bin:${path.dirname(process.execPath)}:/usr/bin:/bin` },
      security,
    })
    return JSON.parse(stdout)
  }

  asRoot('finds containers impossible inside a container', async () => {
    const report = await reportInside({ seccomp: 'unconfined' })
    expectSound(report)
    expect(report).toMatchObject({ ok: false, container: true })
    // Its Landlock forbids all mounting.
    expect(report.tier).toBe('landlock')
    expect(stateOf(report, 'mount.tmpfs')).toBe('missing')
  })

  asRoot('names the call that the filter around it forbids', async () => {
    const report = await reportInside({})
    expectSound(report)
    expect(report).toMatchObject({ ok: false, container: true, tier: 'landlock' })
    expect(report.findings.find(({ id }) => id === 'namespace.mnt')).toMatchObject({
      state: 'missing',
      detail: expect.stringContaining('unshare'),
      fix: expect.stringContaining('seccomp'),
    })
    expect(stateOf(report, 'syscall.clone3')).toBe('warning')
  })

  test('says that an addon is missing, or the operating system is another', async () => {
    const directory = mkdtempSync(path.join(tmpdir(), 'caisson-doctor-'))
    try {
      cpSync(path.dirname(dist), path.join(directory, 'dist'), { recursive: true })
      writeFileSync(path.join(directory, 'package.json'), '{"type":"module"}')
      symlinkSync(path.resolve('node_modules'), path.join(directory, 'node_modules'))
      for (const [platform, id] of [
        ['linux', 'addon'],
        ['darwin', 'platform'],
      ] as const) {
        const script = `
          Object.defineProperty(process, 'platform', { value: '${platform}' })
          const { doctor } = await import(${JSON.stringify(path.join(directory, 'dist/index.js'))})
          console.log(JSON.stringify(await doctor()))`
        const out = execFileSync(process.execPath, ['--input-type=module', '-e', script])
        const report: Report = JSON.parse(out.toString())
        expectSound(report)
        expect(report).toMatchObject({ ok: false, tier: 'none' })
        expect(stateOf(report, id)).toBe('missing')
      }
      expect(existsSync(path.join(directory, 'prebuilds'))).toBe(false)
    } finally {
      rmSync(directory, { recursive: true })
    }
  })
})
