/** What the networks of an ordinary user need of the machine: when it is missing, when it is killed, when their owner is. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, symlinkSync } from 'node:fs'
import path from 'node:path'
import { doctor, Image, run } from '../../lib/index.js'
import { endDefaultNetwork } from '../support/default-network.js'
import { HERE, noMachine, SERVER, THERE, until } from '../support/lan.js'
import { findProgram, testIf } from '../support/needs.js'
import { removeScratch, scratch } from '../support/tree.js'

const it = testIf(noMachine)
const ROUNDS = 12

interface Process {
  pid: number
  name: string
  net: string
}

/** Those that `parent` has made. What they are called is theirs to say; the network namespace is empty where it is hidden. */
function childrenOf(parent: number): Process[] {
  return readdirSync('/proc').flatMap((entry): Process[] => {
    if (!/^\d+$/.test(entry)) return []
    try {
      const [, name = '', ppid] = /\((.*)\) \S (\d+)/s.exec(readFileSync(`/proc/${entry}/stat`, 'utf8')) ?? []
      return Number(ppid) === parent ? [{ pid: Number(entry), name, net: netOf(entry) }] : []
    } catch {
      return []
    }
  })
}

function netOf(pid: string | number): string {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`)
  } catch {
    return ''
  }
}

const isThere = (pid: number) => {
  try {
    return !/^State:\s*[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

const userMode = (parent: number) => childrenOf(parent).filter(({ name }) => /^(pas(st|ta)|slirp4netns)/.test(name))

describe('what networks of an ordinary user need', () => {
  let image: Image
  // Other files may be run by this process, too.
  const before = new Set(userMode(process.pid).map(({ pid }) => pid))
  const mine = () => userMode(process.pid).filter(({ pid }) => !before.has(pid))
  const children: ChildProcess[] = []
  beforeAll(async () => {
    if (noMachine) return
    process.env.CAISSON_ROOT = scratch()
    image = await Image.host()
  })
  afterAll(async () => {
    for (const child of children) child.kill('SIGKILL')
    if (noMachine) return
    await endDefaultNetwork()
    removeScratch()
  })

  /** A program that uses caisson, with other programs to be found than we have. */
  const program = (text: string, programs: string[]) => {
    const bin = mkdtempSync(path.join(process.env.CAISSON_ROOT as string, 'bin-'))
    for (const name of programs) symlinkSync(findProgram(name) as string, path.join(bin, name))
    const own = path.join(bin, 'root')
    mkdirSync(own)
    const child = spawn(process.execPath, ['--input-type=module', '-e', text], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: { ...process.env, PATH: bin, CAISSON_ROOT: own },
    })
    children.push(child)
    return child
  }
  const output = async (child: ChildProcess) => {
    let text = ''
    child.stdout?.on('data', (chunk) => {
      text += chunk
    })
    await once(child, 'close')
    return text
  }

  it('the program that leads to the world has few rights, and is started anew when it ends', async () => {
    await run(image, ['true'], { network: 'bridge' })
    const [first] = mine()
    const status = readFileSync(`/proc/${first?.pid}/status`, 'utf8')
    expect(status).toMatch(/^Seccomp:\s*2$/m)
    expect(status).toMatch(/^NoNewPrivs:\s*1$/m)
    // Nothing of the host's; of the user namespace pasta keeps CAP_NET_BIND_SERVICE and CAP_SYS_ADMIN, by which it enters.
    expect(/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1]).toMatch(/^0+(20)?0[04]00$/)
    expect(readFileSync(`/proc/${first?.pid}/uid_map`, 'utf8')).not.toBe(readFileSync('/proc/self/uid_map', 'utf8'))
    process.kill(first?.pid as number, 'SIGKILL')
    await until(() => !isThere(first?.pid as number))
    const { stdout } = await run(image, ['curl', '-s', '-m', '5', `${THERE}:9000`], { network: 'bridge' })
    expect(stdout).toContain('world ')
    expect(mine()).toHaveLength(1)
  })

  it('without pasta and slirp4netns the error says what to install, and internal networks work', async () => {
    const child = program(
      `import { Image, Network, run, doctor } from './dist/index.js'
       const image = await Image.host()
       const error = await run(image, ['true'], { network: 'bridge' }).catch((error) => error)
       const network = await Network.create({ internal: true })
       const { stdout } = await run(image, ['ls', '/sys/class/net'], { network })
       const { findings } = await doctor()
       const { state, fix } = findings.find(({ id }) => id === 'network.user-mode')
       console.log(JSON.stringify({ code: error.code, hint: error.hint, stdout, state, fix }))`,
      [],
    )
    expect(JSON.parse(await output(child))).toEqual({
      code: 'ERR_CAISSON_UNSUPPORTED',
      hint: expect.stringContaining('apt-get install passt'),
      stdout: 'eth0\nlo\n',
      state: 'warning',
      fix: expect.stringContaining('apt-get install passt'),
    })
    const { findings } = await doctor()
    expect(findings.find(({ id }) => id === 'network.user-mode')).toMatchObject({ state: 'ok' })
  })

  it('the process that makes sockets in them is replaced when it is killed, and nothing of them is lost', async () => {
    const child = program(
      `import { Container, Image, Network, run } from './dist/index.js'
       import { readdirSync, readFileSync } from 'node:fs'
       const image = await Image.host()
       const network = await Network.create({ name: 'lasting' })
       const listen = ${JSON.stringify(SERVER('hello', 80, 'AF_INET6'))}
       const web = await Container.create(image, { name: 'web', network, command: listen, ports: [{ container: 80 }] })
       await web.start()
       const { port } = web.port(80)
       const read = (pid, name) => { try { return readFileSync('/proc/' + pid + '/' + name, 'utf8') } catch { return '' } }
       const mine = () => readdirSync('/proc').filter((pid) => new RegExp('^PPid:\\\\s*' + process.pid + '$', 'm').test(read(pid, 'status')))
       const agents = () => mine().filter((pid) => read(pid, 'cmdline').startsWith('caisson-init\\0run'))
       const programs = () => mine().filter((pid) => /pasta|passt/.test(read(pid, 'comm')))
       const end = (pid) => {
         process.kill(Number(pid), 'SIGKILL')
         while (/^State:\\t[^ZX]/m.test(read(pid, 'status'))) {}
       }
       const inside = async (...urls) => {
         const script = urls.map((url) => 'curl -s -m 5 ' + url + ' || printf none; echo').join(';')
         return (await run(image, ['sh', '-c', script], { network })).stdout.trim().split('\\n').filter((line) => line !== '')
       }
       // Node's first fetch never ends when its connection is reset while it is being set up (seen with 20.20).
       const limit = () => ({ signal: AbortSignal.timeout(1000) })
       const published = () => fetch('http://127.0.0.1:' + port, limit()).then((answer) => answer.text(), () => 'none')
       const soon = async (work) => { let seen; for (let i = 0; i < 100 && (seen = await work()) === 'none'; i++) await new Promise((done) => setTimeout(done, 50)); return seen }
       const seen = { before: [await soon(published), await inside('web')] }
       const [first] = agents()
       await new Promise((done) => setTimeout(done, 1100))
       end(first)
       seen.next = await inside('web', '${THERE}:9000')
       seen.published = await published()
       // Nobody asks: it is there again all the same. One that has hardly lived waits for somebody.
       await new Promise((done) => setTimeout(done, 1100))
       end(agents()[0])
       await new Promise((done) => setTimeout(done, 200))
       seen.unasked = await soon(published)
       end(agents()[0])
       for (const pid of programs()) end(pid)
       seen.both = await inside('web', '${THERE}:9000')
       seen.agents = agents().length
       const other = await Network.create({ internal: true })
       seen.other = (await run(image, ['ls', '/sys/class/net'], { network: other })).stdout
       await web.remove({ force: true })
       await network.remove()
       console.log(JSON.stringify(seen))`,
      ['pasta'],
    )
    const there = `world ::ffff:${HERE}`
    expect(JSON.parse(await output(child))).toEqual({
      before: [expect.stringContaining('hello'), [expect.stringContaining('hello')]],
      next: [expect.stringContaining('hello'), there],
      published: expect.stringContaining('hello'),
      unasked: expect.stringContaining('hello'),
      both: [expect.stringContaining('hello'), there],
      agents: 1,
      other: 'eth0\nlo\n',
    })
  }, 60_000)

  it('slirp4netns serves where pasta is missing', async () => {
    const child = program(
      `import { Image, run } from './dist/index.js'
       import { readdirSync, readFileSync } from 'node:fs'
       const urls = ['${THERE}:9000', 'host.caisson.internal:9001', '169.254.77.2:9002', '127.0.0.1:9002']
       const script = urls.map((url) => 'curl -s -m 2 ' + url + ' || echo none; echo').join(';')
       const { stdout } = await run(await Image.host(), ['sh', '-c', script], { network: 'bridge' })
       const names = readdirSync('/proc').filter((pid) => /^\\d+$/.test(pid)).flatMap((pid) => {
         try {
           const [, name, parent] = /\\((.*)\\) \\S (\\d+)/s.exec(readFileSync('/proc/' + pid + '/stat', 'utf8'))
           return Number(parent) === process.pid ? [name] : []
         } catch { return [] }
       })
       console.log(JSON.stringify({ stdout, slirp: names.includes('slirp4netns') }))`,
      ['slirp4netns'],
    )
    const { stdout, slirp } = JSON.parse(await output(child))
    const answers = stdout.split('\n').filter((line: string) => line !== '')
    expect({ answers, slirp }).toEqual({
      answers: [`world ::ffff:${HERE}`, `host ::ffff:${HERE}`, 'none', 'none'],
      slirp: true,
    })
  })

  it(
    'nothing is left when the owner is killed, at whatever moment',
    async () => {
      const load = `import { Container, Image, Network, run } from './dist/index.js'
        const image = await Image.host()
        const mine = await Network.create()
        const kept = await Container.create(image, { network: mine, ports: [{ container: 80 }], command: ['sleep', '100'] })
        await kept.start()
        console.log('ready')
        for (;;) await run(image, ['true'], { networks: [mine, 'bridge'] })`
      for (let round = 0; round < ROUNDS; round++) {
        const child = program(load, round % 2 ? ['slirp4netns'] : ['pasta'])
        const parent = child.pid as number
        if (round % 3 > 0)
          await Promise.race([once(child.stdout as NodeJS.ReadableStream, 'data'), once(child, 'exit')])
        await new Promise((resolve) => setTimeout(resolve, Math.random() * (round % 3 > 0 ? 100 : 900)))
        expect([round, child.exitCode]).toEqual([round, null])
        const made = childrenOf(parent)
        if (round % 3 > 0) expect(userMode(parent)).toHaveLength(1)
        const own = netOf('self')
        const networks = new Set(made.map(({ net }) => net).filter((net) => net !== '' && net !== own))
        if (round % 3 > 0) expect(networks.size).toBeGreaterThan(0)
        child.kill('SIGKILL')
        await once(child, 'exit')
        const left = () => made.filter(({ pid }) => isThere(pid))
        await until(() => left().length === 0).catch(() => {
          throw new Error(`round ${round}: ${JSON.stringify(left())}`)
        })
        // Nobody is in its namespaces any more, and as no file is one of them, they are gone.
        const inside = () => readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && networks.has(netOf(pid)))
        await until(() => inside().length === 0)
        expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toMatch(/ nsfs .*caisson/)
      }
      expect(execFileSync('ip', ['-o', 'link', 'show'], { encoding: 'utf8' })).not.toMatch(/cnb-|cnp-|tap0/)
    },
    ROUNDS * 5000,
  )
})
