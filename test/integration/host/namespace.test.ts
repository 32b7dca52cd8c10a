import { execFileSync, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Namespace, type NamespaceInfo, type NamespaceType } from '../../../lib/index.js'
import { namespacesOf, TYPES } from '../../support/background.js'
import { packageForEveryone } from '../../support/everyone.js'
import { findProgram, isRoot, testIf } from '../../support/needs.js'
import { until } from '../../support/until.js'

const lsns = findProgram('lsns')
const asRoot = testIf(!isRoot && 'only root may')

interface LsnsRow {
  ns: number
  type: string
  nprocs: number
  pid: number
  ppid: number
  command: string
  uid: number
  user: string
}

function runLsns(...args: string[]): LsnsRow[] {
  const text = execFileSync(lsns as string, ['-l', '-J', '-o', 'NS,TYPE,NPROCS,PID,PPID,COMMAND,UID,USER', ...args])
  return JSON.parse(text.toString()).namespaces
}

/** In the words of lsns, and counting lsns itself, which was in our own namespaces when it looked. */
function asLsns(list: NamespaceInfo[]): LsnsRow[] {
  const own = new Set(Object.values(namespacesOf('self')))
  return list
    .filter(({ nprocs }) => nprocs > 0)
    .map(({ inode, type, nprocs, pid, ppid, command, uid, user }) => ({
      ns: inode,
      type,
      nprocs: nprocs + (own.has(inode) ? 1 : 0),
      pid: pid as number,
      ppid: ppid as number,
      command: command as string,
      uid: uid as number,
      user: user as string,
    }))
}

/** Rows that lsns shows its own process in have the first number of all: numbers begin anew from time to time. */
function withoutItself(ours: LsnsRow[], theirs: LsnsRow[]): LsnsRow[] {
  const seen = new Map(ours.map((row) => [row.ns, row]))
  return theirs.map((row) => {
    if (!row.command.startsWith(lsns as string)) return row
    const { pid, ppid, command, uid, user } = seen.get(row.ns) ?? row
    return { ...row, pid, ppid, command, uid, user }
  })
}

/** Processes come and go: the two must agree once, at the same moment. */
async function expectAgreement(look: () => Promise<[LsnsRow[], LsnsRow[]]>): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    const [ours, listed] = await look()
    const theirs = withoutItself(ours, listed)
    if (attempt === 40 || JSON.stringify(ours) === JSON.stringify(theirs)) {
      expect(ours).toEqual(theirs)
      return
    }
    await sleep(20 + 10 * attempt)
  }
}

describe('Namespace.list', () => {
  const withLsns = testIf(!lsns && 'lsns, of util-linux')

  withLsns('shows what lsns shows, in its order', async () => {
    await expectAgreement(async () => [asLsns(await Namespace.list()), runLsns()])
  })

  testIf((!lsns && 'lsns') || (!isRoot && 'only root may make namespaces'))(
    'shows the namespaces of another process as lsns does',
    async () => {
      const child = spawn('unshare', ['--mount', '--net', '--uts', '--ipc', '--cgroup', 'sleep', '60'])
      try {
        await until(() => namespacesOf(child.pid as number).cgroup !== namespacesOf('self').cgroup)
        await expectAgreement(async () => [asLsns(await Namespace.list()), runLsns()])
        const list = await Namespace.list({ pid: child.pid })
        expect(Object.fromEntries(list.map(({ type, inode }) => [type, inode]))).toEqual(
          namespacesOf(child.pid as number),
        )
        await expectAgreement(async () => [
          asLsns(await Namespace.list({ pid: child.pid })),
          runLsns('-p', String(child.pid)),
        ])
        expect(list.find(({ type }) => type === 'net')).toMatchObject({
          nprocs: 1,
          pid: child.pid,
          ppid: process.pid,
          command: 'sleep 60',
          user: 'root',
        })
      } finally {
        child.kill('SIGKILL')
      }
    },
  )

  test('takes one kind, or some', async () => {
    expect(new Set((await Namespace.list({ type: 'net' })).map(({ type }) => type))).toEqual(new Set(['net']))
    const two = await Namespace.list({ type: ['uts', 'user'] })
    expect(new Set(two.map(({ type }) => type))).toEqual(new Set(['uts', 'user']))
  })

  test('refuses what is no kind and no process', async () => {
    await expect(Namespace.list({ type: 'network' as NamespaceType })).rejects.toMatchObject({
      code: 'ERR_CAISSON_INVALID_ARGUMENT',
    })
    await expect(Namespace.list({ pid: 2 ** 22 + 1 })).rejects.toMatchObject({ code: 'ERR_CAISSON_NAMESPACE' })
  })

  test('bears processes that come and go', async () => {
    const storm = spawn('sh', ['-c', 'while :; do for i in 1 2 3 4 5 6 7 8; do /bin/true & done; wait; done'], {
      detached: true,
      stdio: 'ignore',
    })
    try {
      for (let i = 0; i < 30; i++) {
        const list = await Namespace.list()
        expect(new Set(list.map(({ type }) => type)).size).toBe(8)
      }
    } finally {
      process.kill(-(storm.pid as number), 'SIGKILL')
    }
  })

  asRoot('shows a namespace that only a descriptor holds, and to whom it belongs', async () => {
    using user = await Namespace.create('user')
    using net = await Namespace.create('net', { user })
    const list = await Namespace.list({ type: ['net', 'user'] })
    expect(list.find(({ inode }) => inode === net.inode)).toEqual({
      type: 'net',
      inode: net.inode,
      nprocs: 0,
      pid: null,
      ppid: null,
      uid: null,
      user: null,
      command: null,
      path: net.path,
      parent: null,
      owner: user.inode,
      ownerUid: null,
    })
    expect(list.find(({ inode }) => inode === user.inode)).toMatchObject({
      nprocs: 0,
      ownerUid: 0,
      parent: namespacesOf('self').user,
    })
  })
})

describe('Namespace.of', () => {
  test.each(TYPES)('holds the %s namespace of a process', async (type) => {
    using own = await Namespace.of(process.pid, type)
    expect(own).toMatchObject({ type, inode: namespacesOf('self')[type] })
    expect(readlinkSync(own.path)).toBe(`${type}:[${own.inode}]`)
  })

  test('names a process that is not there', async () => {
    await expect(Namespace.of(2 ** 22 + 1, 'net')).rejects.toMatchObject({
      code: 'ERR_CAISSON_NAMESPACE',
      hint: expect.stringContaining('ended'),
      cause: { code: 'ENOENT' },
    })
  })
})

describe('Namespace.open', () => {
  test('refuses files of other kinds, without opening them', async () => {
    const directory = mkdtempSync(path.join(tmpdir(), 'caisson-ns-'))
    try {
      const fifo = path.join(directory, 'fifo')
      execFileSync('mkfifo', [fifo])
      writeFileSync(path.join(directory, 'file'), '')
      for (const at of [fifo, path.join(directory, 'file'), directory, '/proc/self/status', '/dev/null'])
        await expect(Namespace.open(at)).rejects.toMatchObject({
          code: 'ERR_CAISSON_NAMESPACE',
          message: expect.stringContaining('is not a namespace'),
        })
    } finally {
      rmSync(directory, { recursive: true })
    }
  })

  test('finds the kind by itself', async () => {
    using opened = await Namespace.open('/proc/self/ns/uts')
    expect(opened.type).toBe('uts')
  })
})

describe('Namespace.create', () => {
  for (const type of TYPES)
    asRoot(`makes a new ${type} namespace and leaves this process where it is`, async () => {
      const before = namespacesOf('self')
      const threads = threadNamespaces()
      using made = await Namespace.create(type)
      expect(made.type).toBe(type)
      expect(Object.values(before)).not.toContain(made.inode)
      expect(namespacesOf('self')).toEqual(before)
      expect(threadNamespaces()).toEqual(threads)
      const [info] = (await Namespace.list({ type })).filter(({ inode }) => inode === made.inode)
      expect(info).toMatchObject({ nprocs: type === 'pid' ? 1 : 0, owner: before.user })
    })

  asRoot('ends all that is in a pid namespace when it is disposed of', async () => {
    const made = await Namespace.create('pid')
    const [info] = (await Namespace.list({ type: 'pid' })).filter(({ inode }) => inode === made.inode)
    const init = info?.pid as number
    const child = spawn('nsenter', [`--pid=${made.path}`, 'sleep', '60'])
    const ended = new Promise((resolve) => child.once('exit', (_, signal) => resolve(signal)))
    await until(async () =>
      (await Namespace.list({ type: 'pid' })).some((each) => each.inode === made.inode && each.nprocs > 1),
    )
    made.dispose()
    await until(() => !existsSync(`/proc/${init}`))
    await ended
  })

  asRoot('gives the PID 1 of a pid namespace nothing that could be taken from it', async () => {
    using made = await Namespace.create('pid')
    const [info] = (await Namespace.list({ type: 'pid' })).filter(({ inode }) => inode === made.inode)
    const base = `/proc/${info?.pid}`
    const own = namespacesOf('self')
    const its = namespacesOf(info?.pid as number)
    for (const type of ['mnt', 'net', 'ipc', 'uts', 'cgroup', 'pid'] as const) expect(its[type]).not.toBe(own[type])
    await until(() => readdirSync(`${base}/fd`).length === 1)
    expect(
      execFileSync('cat', [`${base}/mountinfo`])
        .toString()
        .trim()
        .split('\n'),
    ).toHaveLength(1)
    expect(execFileSync('cat', [`${base}/status`]).toString()).toMatch(/CapPrm:\t0+\n/)
    expect(readdirSync(`${base}/root`)).toEqual([])
  })

  asRoot('is never mistaken for the one of the process that went ahead', async () => {
    using user = await Namespace.create('user')
    for (let i = 0; i < 40; i++) {
      using pid = await Namespace.create('pid', { user })
      expect(pid.facts).toMatchObject({ owner: user.inode, parent: namespacesOf('self').pid })
    }
  })

  asRoot('makes a user namespace with the maps that are asked for', async () => {
    const map = [
      { containerID: 0, hostID: 300000, size: 1000 },
      { containerID: 5000, hostID: 400000, size: 10 },
    ]
    using user = await Namespace.create('user', { idMaps: { uidMap: map, gidMap: map } })
    expect(await user.idMaps()).toEqual({ uidMap: map, gidMap: map })
  })

  asRoot('sets the clocks of a time namespace', async () => {
    using time = await Namespace.create('time', { timeOffsets: { monotonic: 864000, boottime: 1728000.5 } })
    const text = execFileSync('nsenter', [`--time=${time.path}`, 'cat', '/proc/uptime', '/proc/self/timens_offsets'])
    expect(Number(text.toString().split(' ')[0])).toBeGreaterThan(1728000)
    expect(text.toString()).toMatch(/monotonic +864000 +0\nboottime +1728000 500000000/)
  })

  asRoot('keeps the mounts of a mount namespace, apart from the host’s', async () => {
    using mnt = await Namespace.create('mnt')
    const inside = (script: string) => execFileSync('nsenter', [`--mount=${mnt.path}`, 'sh', '-c', script]).toString()
    inside('mount -t tmpfs kept /mnt && echo kept > /mnt/file')
    expect(inside('cat /mnt/file')).toBe('kept\n')
    expect(existsSync('/mnt/file')).toBe(false)
    expect(inside('cat /proc/self/mountinfo')).not.toMatch(/ shared:\d+ /)
  })

  asRoot('makes all of them for an ordinary user, in a user namespace of its own', async () => {
    const script = `
      import { statSync } from 'node:fs'
      const { Namespace } = await import(${JSON.stringify(packageForEveryone())})
      console.log((await Namespace.create('net')).facts.owner !== statSync('/proc/self/ns/user').ino)
      const user = await Namespace.create('user')
      console.log(user.facts.ownerUid, JSON.stringify((await user.idMaps()).uidMap))
      for (const type of ${JSON.stringify(TYPES.filter((type) => type !== 'user'))}) {
        const made = await Namespace.create(type, { user })
        console.log(made.facts.owner === user.inode)
      }`
    const ordinary = { uid: 65533, gid: 65533, cwd: '/' }
    const out = execFileSync(process.execPath, ['--input-type=module', '-e', script], ordinary)
    const map = '[{"containerID":0,"hostID":65533,"size":1}]'
    expect(out.toString()).toBe(`true\n65533 ${map}\n${'true\n'.repeat(7)}`)
  })

  asRoot('says what is wrong with the options', async () => {
    using net = await Namespace.create('net')
    const code = 'ERR_CAISSON_INVALID_ARGUMENT'
    await expect(Namespace.create('net', { user: net })).rejects.toMatchObject({ code })
    await expect(Namespace.create('net', { timeOffsets: {} })).rejects.toMatchObject({ code })
    await expect(Namespace.create('user', { idMaps: { uidMap: [], gidMap: [] } })).rejects.toMatchObject({ code })
    await expect(Namespace.create('network' as NamespaceType)).rejects.toMatchObject({ code })
  })
})

describe('a Namespace', () => {
  test('is closed by dispose(), and says so later', async () => {
    const own = await Namespace.of(process.pid, 'uts')
    const { path: at } = own
    own.dispose()
    own.dispose()
    expect(existsSync(at)).toBe(false)
    expect(() => own.fd).toThrow(expect.objectContaining({ code: 'ERR_CAISSON_INVALID_STATE' }))
  })

  asRoot('that is forgotten is closed with the garbage', async () => {
    const script = `
      const { Namespace } = await import(${JSON.stringify(path.resolve('dist/index.js'))})
      const { readdirSync, readlinkSync } = await import('node:fs')
      const held = () => readdirSync('/proc/self/fd').filter((fd) => {
        try { return /^(net|pid):/.test(readlinkSync('/proc/self/fd/' + fd)) } catch { return false }
      }).length
      for (let i = 0; i < 10; i++) { await Namespace.create('net'); await Namespace.create('pid') }
      const before = held()
      let inits = -1
      for (let i = 0; i < 300 && (held() > 0 || inits !== 0); i++) {
        gc()
        await new Promise((resolve) => setTimeout(resolve, 10))
        inits = (await Namespace.list({ type: 'pid' })).filter((ns) => ns.ppid === process.pid).length
      }
      console.log(before > 0, held(), inits)`
    const out = execFileSync(process.execPath, ['--expose-gc', '--input-type=module', '-e', script])
    expect(out.toString()).toBe('true 0 0\n')
  })

  asRoot('goes with its process, even a killed one', async () => {
    const script = `
      const { Namespace } = await import(${JSON.stringify(path.resolve('dist/index.js'))})
      const made = await Namespace.create('pid')
      const [{ pid }] = (await Namespace.list({ type: 'pid' })).filter((ns) => ns.inode === made.inode)
      console.log(pid)
      setInterval(() => made.fd, 1000)`
    const child = spawn(process.execPath, ['--input-type=module', '-e', script])
    const init = Number(await new Promise((resolve) => child.stdout.once('data', resolve)))
    expect(existsSync(`/proc/${init}`)).toBe(true)
    child.kill('SIGKILL')
    await until(() => !existsSync(`/proc/${init}`))
  })

  asRoot('can be mounted, and opened from there', async () => {
    const at = path.join(mkdtempSync(path.join(tmpdir(), 'caisson-ns-')), 'uts')
    const made = await Namespace.create('uts')
    const { inode } = made
    await made.persist(at)
    try {
      made.dispose()
      using opened = await Namespace.open(at)
      expect(opened).toMatchObject({ type: 'uts', inode })
      const found = (await Namespace.list({ type: 'uts' })).find((each) => each.inode === inode)
      expect(found).toMatchObject({ nprocs: 0, path: at })
    } finally {
      execFileSync('umount', [at])
      rmSync(path.dirname(at), { recursive: true })
    }
  })
})

function threadNamespaces(): string[] {
  return readdirSync('/proc/self/task').flatMap((thread) =>
    TYPES.map((type) => readlinkSync(`/proc/self/task/${thread}/ns/${type}`)).filter(
      (link) => !Object.entries(namespacesOf('self')).some(([type, inode]) => link === `${type}:[${inode}]`),
    ),
  )
}
