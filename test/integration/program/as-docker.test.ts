/** What docker does where options meet: read-only roots, files of the container's own, lists and logs. */
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Cgroup, Container, Image, run } from '../../../lib/index.js'
import { busyboxLayer, folder, noBusybox, tar } from '../../support/busybox-image.js'
import { casesOf, missingCases, textOf } from '../../support/cases.js'
import { isRoot, testIf } from '../../support/needs.js'

const invalid = expect.objectContaining({ code: 'ERR_CAISSON_INVALID_ARGUMENT', stage: 'options' })

let host: Image
let directory: string
beforeAll(async () => {
  directory = mkdtempSync(path.join(tmpdir(), 'caisson-docker-'))
  host = await Image.host()
})
afterAll(() => rmSync(directory, { recursive: true }))

describe('files of its own', () => {
  test.each(['hosts', 'hostname', 'resolv.conf'])(
    'a mount of the caller at /etc/%s is the one that is seen',
    async (name) => {
      const source = path.join(directory, name)
      writeFileSync(source, 'mine\n')
      const mounts = [{ type: 'bind' as const, source, target: `/etc/${name}` }]
      for (const more of [{}, { storage: 'disk' as const }])
        expect((await run(host, ['cat', `/etc/${name}`], { mounts, ...more })).stdout).toBe('mine\n')
      const container = await Container.create(host, { mounts, command: ['sleep', '60'] })
      try {
        await container.start()
        expect((await container.exec(['cat', `/etc/${name}`])).stdout).toBe('mine\n')
      } finally {
        await container.remove({ force: true })
      }
    },
  )

  test('addresses may be in brackets', async () => {
    const { stdout } = await run(host, ['cat', '/etc/hosts'], { extraHosts: ['six:[fd00::1]', 'four=10.0.0.1'] })
    expect(stdout).toContain('fd00::1\tsix\n10.0.0.1\tfour\n')
  })
})

describe('a read-only root', () => {
  test('has the working directory that was asked for', async () => {
    const script = 'pwd; touch here 2>/dev/null || echo read-only'
    const { stdout } = await run(host, ['sh', '-c', script], { workdir: '/made/for/it', readOnly: true })
    expect(stdout).toBe('/made/for/it\nread-only\n')
  })

  testIf(noBusybox)('has volumes where the image says so, which can be written to', async () => {
    const layers = Buffer.concat([
      busyboxLayer().subarray(0, -1024),
      tar(folder('data'), { name: 'data/seed', data: 'seed' }),
    ])
    const image = await Image.fromRootfs(layers, { Volumes: { '/data': {} } })
    const script = 'cat /data/seed; echo more > /data/file && echo written; echo > /file || echo read-only'
    const result = await run(image, ['/bin/sh', '-c', script], { readOnly: true })
    expect(result.stdout).toBe('seedwritten\nread-only\n')
  })
})

test.each([[{ name: '../x' }], [{ name: '' }], [{ platform: 'a/b/c/d' }]])('run() refuses %j', async (options) => {
  await expect(run(host, ['true'], options)).rejects.toMatchObject({ code: 'ERR_CAISSON_INVALID_ARGUMENT' })
})

test.each([[{ state: 'odd' }], [{ labels: 'a' }], [{ name: 5 }], [{ all: 'yes' }]])(
  'Container.list() refuses %j',
  async (filter) => {
    await expect(Container.list(filter as never)).rejects.toEqual(invalid)
  },
)

test('what is no name is refused, not looked for', async () => {
  for (const name of [undefined, null, 5, '']) await expect(Container.get(name as never)).rejects.toEqual(invalid)
})

test('logs() knows its options', async () => {
  const container = await Container.create(host, { command: ['true'] })
  try {
    for (const options of [{ follow: 'yes' }, { timestamps: 1 }, { lines: 5 }])
      expect(() => container.logs(options as never)).toThrow(invalid)
  } finally {
    await container.remove()
  }
})

interface UserCase {
  ref: string
  expected: { Uid: number; Gid: number; Sgids: number[]; Home: string }
}

interface WithUser {
  user: string
  expectedUID?: number
  expectedGID?: number
  err?: string
}

describe('users are looked up in the image', () => {
  const large = `largegroup:x:1000:${Array.from({ length: 7500 }, (_, i) => `user${i + 1}`).join(',')}\n`
  const passwd = `
root:x:0:0:root user:/root:/bin/bash
adm:x:42:43:adm:/var/adm:/bin/false
111:x:222:333::/var/garbage
odd:x:111:112::/home/odd:::::
2147483647:x:0:0:maxint32:/root:/bin/bash
2147483648:x:0:0:toolarge:/root:/bin/bash
user7456:x:7456:100:Vasya:/home/user7456
this is just some garbage data
-42:x:12:13:broken:/very/broken
`
  const group = `
root:x:0:root
adm:x:43:
grp:x:1234:root,adm,user7456
444:x:555:111
odd:x:444:
2147483648:x:1236:
toolarge:x:2147483648:
this is just some garbage data
${large}`
  let image: Image
  beforeAll(async () => {
    if (noBusybox) return
    const files = tar({ name: 'etc/passwd', data: passwd }, { name: 'etc/group', data: group })
    image = await Image.fromRootfs(Buffer.concat([busyboxLayer().subarray(0, -1024), files]))
  })
  const script = 'id -u; id -g; while read a b; do [ "$a" = Groups: ] && echo $b; done < /proc/self/status; echo $HOME'
  const who = async (options: object, root = image) => {
    const { stdout } = await run(root, ['/bin/sh', '-c', script], options)
    const [uid, gid, groups = '', home] = stdout.split('\n')
    return { uid: Number(uid), gid: Number(gid), groups: groups.split(' ').filter(Boolean).map(Number), home }
  }

  testIf(noBusybox || missingCases)('as the table says', async () => {
    for (const { ref, expected } of casesOf<UserCase>('user-spec', 'GetExecUser')) {
      // 8888 stands for what is not said: docker takes root's then, and its own groups with a name or number alone.
      const [uid, gid] = [expected.Uid, expected.Gid].map((id) => (id === 8888 ? 0 : id)) as [number, number]
      const wanted = expected.Sgids.filter((id) => id !== 8888)
      // What a user may give ids to (/etc/subuid) ends before.
      if (!isRoot && [uid, gid, ...wanted].some((id) => id >= 65536)) {
        const refused = { code: 'ERR_CAISSON_PERMISSION', stage: 'user', hint: expect.stringContaining('/etc/subuid') }
        await expect(who({ user: ref })).rejects.toMatchObject(refused)
        continue
      }
      const found = await who({ user: ref })
      expect({ ref, uid: found.uid, gid: found.gid }).toEqual({ ref, uid, gid })
      if (ref === '') continue
      expect([ref, found.groups.filter((id) => id !== gid)]).toEqual([
        ref,
        wanted.filter((id) => id !== gid).sort((a, b) => a - b),
      ])
      expect([ref, found.home]).toEqual([ref, expected.Home === '/8888' ? '/' : expected.Home])
    }
    for (const user of casesOf<string>('user-spec', 'GetExecUserInvalid'))
      await expect(who({ user })).rejects.toMatchObject({
        code: expect.stringMatching(/^ERR_CAISSON_(USER_NOT_FOUND|INVALID_ARGUMENT)$/),
      })
  })

  testIf(noBusybox || missingCases)('as containerd says', async () => {
    const [passwd, group] = ['passwd', 'group'].map((name) => textOf('user-spec', 'containerd-WithUser', name))
    const files = tar({ name: 'etc/passwd', data: passwd }, { name: 'etc/group', data: group })
    const other = await Image.fromRootfs(Buffer.concat([busyboxLayer().subarray(0, -1024), files]))
    for (const known of casesOf<WithUser>('user-spec', 'containerd-WithUser')) {
      const found = who({ user: known.user }, other)
      if (known.err)
        await expect(found).rejects.toMatchObject({
          code: expect.stringMatching(/^ERR_CAISSON_(USER_NOT_FOUND|INVALID_ARGUMENT)$/),
        })
      else expect(await found).toMatchObject({ uid: known.expectedUID, gid: known.expectedGID })
    }
  })

  testIf(noBusybox || missingCases)('and further groups', async () => {
    interface GroupCase {
      groups: string[]
      expected: number[] | null
      hasError?: boolean
    }
    for (const { groups, expected, hasError } of casesOf<GroupCase>('user-spec', 'GetAdditionalGroups')) {
      const found = who({ user: '5:5', groups })
      if (hasError)
        await expect(found).rejects.toMatchObject({
          code: expect.stringMatching(/^ERR_CAISSON_(USER_NOT_FOUND|INVALID_ARGUMENT)$/),
        })
      else expect((await found).groups.filter((id) => id !== 5)).toEqual(expected)
    }
  })
})

testIf(!isRoot && 'only root has cgroups for certain')(
  'limits of every kind can be asked for while a container runs',
  async () => {
    const container = await Container.create(host, { command: ['sh', '-c', 'sleep 1000 & sleep 1000'] })
    try {
      await container.start()
      await container.exec(['true'])
      await container.update({ limits: { cpus: 0.2, memory: '64m', pids: 50 } })
      const busy = 'i=0; while [ $i -lt 600000 ]; do i=$((i+1)); done'
      const { durationMs, usage } = await container.exec(['sh', '-c', busy], { cpuTimeout: '5s', timeout: '20s' })
      expect((usage.cpuUserMs ?? 0) + (usage.cpuSystemMs ?? 0)).toBeLessThan(durationMs * 0.5)
      await container.restart({ timeout: 0 })
      expect((await container.exec(['true'])).exitCode).toBe(0)
      const { legacy } = container.inspect().cgroup
      await container.remove({ force: true })
      for (const at of legacy) expect(existsSync(at)).toBe(false)
    } finally {
      await container.remove({ force: true })
    }
  },
)

testIf(!isRoot && 'only root has cgroups for certain')('and so they can of a Cgroup', async () => {
  const group = await Cgroup.create(`as-docker-${process.pid}`, { pids: 10 })
  const child = spawn('sleep', ['100'])
  try {
    await group.add(child.pid as number)
    await group.set({ cpus: 0.5, memory: '64m' })
    for (const memory of ['128m', '32m']) {
      await group.set({ memory })
      expect((await group.stats()).memoryLimitBytes).toBe(Number.parseInt(memory, 10) * 1024 * 1024)
    }
    const text = readFileSync(`/proc/${child.pid}/cgroup`, 'utf8')
    const lines = text.split('\n').filter((line) => /:(|.*\b(cpu|memory|pids)\b.*):/.test(line))
    for (const line of lines) expect(line).toContain(`group-as-docker-${process.pid}`)
    await group.kill()
  } finally {
    child.kill('SIGKILL')
    await group.remove()
    await expect(group.children()).rejects.toMatchObject({ code: 'ERR_CAISSON_CGROUP' })
  }
})
