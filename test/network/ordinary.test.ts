import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Container, compose, doctor, Group, Image, Network, run } from '../../lib/index.js'
import { imageRoots } from '../../lib/runtime/image/roots.js'
import { busyboxImage } from '../support/busybox-image.js'
import { HERE, noMachine, SERVER, THERE, THERE6, until } from '../support/lan.js'
import { findProgram, testIf } from '../support/needs.js'
import { storeImage } from '../support/store-images.js'

const it = testIf(noMachine)
const sh = (script: string) => ['sh', '-c', script]
const get = (...urls: string[]) => sh(urls.map((url) => `curl -s -g -m 5 ${url} || printf none; echo`).join('\n'))
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

describe('networks of an ordinary user', () => {
  let image: Image
  let backend: Network
  let root: string
  const children: ChildProcess[] = []
  beforeAll(async () => {
    if (noMachine) return
    root = mkdtempSync(path.join(tmpdir(), 'caisson-networks-'))
    process.env.CAISSON_ROOT = root
    image = await Image.host()
    backend = await Network.create({ name: 'backend', ipv6: true })
  })
  afterAll(async () => {
    for (const child of children) child.kill('SIGKILL')
    if (noMachine) return
    await backend.remove()
    await (await Network.get('bridge')).remove()
    // What a killed owner leaves on disk is swept by the next one, which there is none of.
    execFileSync('sh', ['-c', 'chmod -R u+rwx "$1"; rm -rf "$1"', 'sh', root])
  })

  const serve = async (options: Parameters<typeof Container.create>[1]) => {
    const container = await Container.create(image, { command: SERVER('hello', 80, 'AF_INET6'), ...options })
    await container.start()
    await until(async () => (await container.exec(sh('curl -s localhost >/dev/null'))).exitCode === 0)
    return container
  }

  /** A program that uses caisson, with other programs to be found than we have. */
  const program = (text: string, programs: string[]) => {
    const bin = mkdtempSync(path.join(root, 'bin-'))
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

  it('lead to the world, by both versions of IP, and to the host by name', async () => {
    const urls = [`${THERE}:9000`, `"[${THERE6}]:9000"`, 'host.caisson.internal:9001']
    const { stdout } = await run(image, get(...urls), { network: backend })
    expect(stdout.split('\n').slice(0, 3)).toEqual([
      `world ::ffff:${HERE}`,
      'world fd77::1',
      expect.stringMatching(/^host (::ffff:192\.168\.77\.1|fd77::1)$/),
    ])
  }, 60_000)

  it("do not lead to the host's loopback, also with rights over the own network", async () => {
    const { stdout: here } = await run(image, get('127.0.0.1:9002'), { network: 'host' })
    expect(here).toContain('loopback')
    const gateway = (await Network.get('bridge')).definition.ipv4.gateway
    const script = `for to in ${gateway} 169.254.77.1 169.254.77.2 10.0.2.2 127.0.0.1; do curl -s -m 1 $to:9002 || echo none; done
      ip address del 127.0.0.1/8 dev lo; ip route del local 127.0.0.0/8 table local
      ip route add 127.0.0.1 via ${gateway}; curl -s -m 1 --interface eth0 127.0.0.1:9002 || echo none`
    const options = { network: 'bridge' as const, security: { capabilities: { add: ['NET_ADMIN'] } } }
    expect((await run(image, sh(script), options)).stdout).toBe('none\n'.repeat(6))
  })

  it('containers find each other by name and alias, and not those of other networks', async () => {
    await using other = await Network.create()
    const web = await serve({ name: 'web', networks: [{ network: backend, aliases: ['www'] }] })
    try {
      const { ipv4, ipv6 } = (await backend.inspect()).containers[0] as { ipv4: string; ipv6: string }
      const near = await run(image, get('web', 'www', ipv4, `"[${ipv6}]"`), { network: backend })
      expect(near.stdout.match(/^hello /gm)).toHaveLength(4)
      const far = await run(image, get('web', ipv4), { networks: [other, 'bridge'] })
      expect(far.stdout).toBe('none\nnone\n')
      // Nor from the host, which has no way there but published ports.
      expect((await run(image, get(ipv4), { network: 'host' })).stdout).toBe('none\n')
      await expect(backend.remove()).rejects.toMatchObject({ code: 'ERR_CAISSON_IN_USE' })
      const socket = await web.connect(80)
      socket.end('GET / HTTP/1.0\r\n\r\n')
      expect(String((await socket.toArray()).join(''))).toContain('hello ')
    } finally {
      await web.remove({ force: true })
    }
  })

  it('a container on several networks, connected and disconnected while it runs', async () => {
    await using second = await Network.create({ internal: true })
    const web = await serve({ name: 'both', network: backend })
    try {
      await second.connect(web, { aliases: ['inner'] })
      expect((await run(image, get('inner'), { network: second })).stdout).toContain('hello ')
      await second.disconnect(web)
      expect((await web.exec(sh('ls /sys/class/net'))).stdout.trim().split(/\s+/)).toEqual(['eth0', 'lo'])
      expect((await run(image, get('inner'), { network: second })).stdout).toBe('none\n')
    } finally {
      await web.remove({ force: true })
    }
  })

  it('publish ports: TCP and UDP, on loopback or everywhere, and name who has one', async () => {
    const echo = `import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('', 53))
while True:
    data, who = s.recvfrom(2048); s.sendto(b'got ' + data, who)`
    const web = await serve({
      network: backend,
      name: 'published',
      ports: [{ container: 80 }, { container: 80, address: '*' }, { container: 53, protocol: 'udp' }],
    })
    try {
      const udp = web.exec(['python3', '-c', echo])
      udp.catch(() => undefined)
      const [local, all] = web.inspect().ports
      const fetched = (at: string) => fetch(`http://${at}`).then((response) => response.text())
      expect(await fetched(`127.0.0.1:${local?.port}`)).toMatch(/^hello /)
      expect(await fetched(`[::1]:${local?.port}`)).toMatch(/^hello /)
      expect(await fetched(`${HERE}:${all?.port}`)).toMatch(/^hello /)
      await expect(fetched(`${HERE}:${local?.port}`)).rejects.toThrow()
      // Many at once, and more than one buffer.
      const many = await Promise.all(Array.from({ length: 50 }, () => fetched(`127.0.0.1:${local?.port}`)))
      expect(many.every((text) => text.startsWith('hello '))).toBe(true)
      const socket = createSocket('udp4')
      const { port } = web.port(53, 'udp')
      const answered = once(socket, 'message')
      const again = setInterval(() => socket.send('ping', port, '127.0.0.1'), 50)
      expect(String((await answered)[0])).toBe('got ping')
      clearInterval(again)
      socket.close()
      const ports = [{ container: 80, host: local?.port as number }]
      await expect(run(image, ['true'], { network: backend, ports })).rejects.toMatchObject({
        code: 'ERR_CAISSON_PORT_IN_USE',
        message: expect.stringContaining('container published'),
      })
    } finally {
      await web.remove({ force: true })
    }
  })

  it('carry projects and groups', async () => {
    await storeImage((await imageRoots()).store, busyboxImage(), 'docker.io/library/box:latest')
    const wget = `for to in ${THERE}:9000 ${HERE}:9001; do busybox wget -q -O - http://$$to/ || echo none; done`
    const serve = 'while :; do echo hello | busybox nc -l -p 80; done'
    const services = {
      web: { image: 'box', command: ['sh', '-c', serve], ports: ['127.0.0.1:8085:80'], volumes: ['data:/data'] },
      out: { image: 'box', command: ['sh', '-c', wget], 'x-egress': [`${THERE}:9000`] },
    }
    const project = await compose({ services, volumes: { data: {} } }, { projectName: 'ordinary' })
    try {
      await project.up()
      const containers = await Container.list({ labels: { 'com.docker.compose.project': 'ordinary' } })
      const named = async (name: string) =>
        Container.get(containers.find((each) => each.name === `ordinary-${name}-1`)?.id as string)
      expect((await (await named('out')).wait()).stdout).toMatch(/^world .*none\n$/s)
      await until(() => execFileSync('sh', ['-c', 'busybox nc -w 1 127.0.0.1 8085 </dev/null; true']).includes('hello'))
      const asked = ['busybox', 'nc', '-w', '1', 'web', '80']
      await until(async () => (await (await named('web')).exec(asked)).stdout.includes('hello'))
    } finally {
      await project.down({ volumes: true, timeout: 0 })
    }
    const member = { image, command: ['sleep', '600'] }
    for (const options of [{ network: backend }, { egress: { allow: [`${THERE}:9000`] } }]) {
      await using group = await Group.create({ ...options, containers: [member, member] })
      await group.start()
      expect((await group.containers[1]?.exec(get(`${THERE}:9000`)))?.stdout).toContain('world ')
    }
  }, 60_000)

  it('internal networks lead nowhere', async () => {
    await using inner = await Network.create({ internal: true })
    const { gateway } = inner.definition.ipv4
    const all = `for to in ${THERE}:9000 ${HERE}:9001 ${gateway}:9001; do curl -s -m 1 $to || echo none; done`
    const { stdout } = await run(image, sh(`${all}; ip route add default via ${gateway} && ${all}`), {
      network: inner,
      security: { capabilities: { add: ['NET_ADMIN'] } },
    })
    expect(stdout).toBe('none\n'.repeat(6))
  })

  it('a container poses as no neighbour, and reaches no metadata of a cloud, with every right over its own network', async () => {
    const web = await serve({ network: backend })
    try {
      const { ipv4 } = (await backend.inspect()).containers[0] as { ipv4: string }
      const free = ipv4.replace(/\d+$/, '222')
      const pose = (address: string) => `ip address flush dev eth0; ip address add ${address}/22 dev eth0
        ip route replace default via ${backend.definition.ipv4.gateway}
        for to in ${ipv4} ${THERE}:9000; do curl -s -m 1 $to >/dev/null && echo reached || echo none; done`
      const { stdout } = await run(
        image,
        sh(`own=$(ip -4 -o address show eth0 | sed 's/.*inet \\([0-9.]*\\).*/\\1/')
          ${pose(free)}; ${pose('$own')}; curl -s -m 1 169.254.169.254:9000 || echo none`),
        { network: backend, security: { capabilities: { add: ['NET_ADMIN'] } } },
      )
      expect(stdout).toBe('none\nnone\nreached\nreached\nnone\n')
    } finally {
      await web.remove({ force: true })
    }
  })

  it('the program that leads to the world has few rights, and is started anew when it ends', async () => {
    await run(image, ['true'], { network: 'bridge' })
    const [first] = userMode(process.pid)
    const status = readFileSync(`/proc/${first?.pid}/status`, 'utf8')
    expect(status).toMatch(/^Seccomp:\s*2$/m)
    expect(status).toMatch(/^NoNewPrivs:\s*1$/m)
    // Nothing of the host's; of the user namespace pasta keeps CAP_NET_BIND_SERVICE and CAP_SYS_ADMIN, by which it enters.
    expect(/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1]).toMatch(/^0+(20)?0[04]00$/)
    expect(readFileSync(`/proc/${first?.pid}/uid_map`, 'utf8')).not.toBe(readFileSync('/proc/self/uid_map', 'utf8'))
    process.kill(first?.pid as number, 'SIGKILL')
    await until(() => userMode(process.pid).length === 0)
    const { stdout } = await run(image, get(`${THERE}:9000`), { network: 'bridge' })
    expect(stdout).toContain('world ')
    expect(userMode(process.pid)).toHaveLength(1)
  })

  it('a container with a user namespace of its own can be on none', async () => {
    const alone = (hostID: number) => [{ containerID: 0, hostID, size: 1 }]
    const userns = { uidMap: alone(process.getuid?.() as number), gidMap: alone(process.getgid?.() as number) }
    const security = { userns }
    await expect(run(image, ['true'], { network: 'bridge', security })).rejects.toMatchObject({
      code: 'ERR_CAISSON_UNSUPPORTED',
      stage: 'network',
    })
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
       const published = () => fetch('http://127.0.0.1:' + port).then((answer) => answer.text(), () => 'none')
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
