/** Networks of one ordinary user in several processes. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { noMachine, SERVER, THERE, until } from '../support/lan.js'
import { testIf } from '../support/needs.js'
import { Peer } from '../support/peer.js'

const it = testIf(noMachine)
const ROUNDS = 10

/** Numbers of processes whose parent is one of these, by a word of their command lines or names. */
function childrenOf(parents: readonly number[], word: RegExp): number[] {
  return readdirSync('/proc').flatMap((entry) => {
    if (!/^\d+$/.test(entry)) return []
    try {
      const [, name = '', parent] = /\((.*)\) [^ZX] (\d+)/s.exec(readFileSync(`/proc/${entry}/stat`, 'utf8')) ?? []
      const command = readFileSync(`/proc/${entry}/cmdline`, 'utf8').replaceAll('\0', ' ')
      return parents.includes(Number(parent)) && word.test(`${name} ${command}`) ? [Number(entry)] : []
    } catch {
      return []
    }
  })
}

const agentsOf = (...peers: Peer[]) =>
  childrenOf(
    peers.map(({ pid }) => pid),
    /caisson-init run/,
  )
const programsOf = (...peers: Peer[]) =>
  childrenOf(
    peers.map(({ pid }) => pid),
    /^(pas(st|ta)|slirp4netns)/,
  )
const networkOf = (pid: number) => readlinkSync(`/proc/${pid}/ns/net`)

function insideOf(network: string): number[] {
  return readdirSync('/proc').flatMap((entry) => {
    try {
      return /^\d+$/.test(entry) && networkOf(Number(entry)) === network ? [Number(entry)] : []
    } catch {
      return []
    }
  })
}

describe('networks of an ordinary user in several processes', () => {
  let root: string
  const peers: Peer[] = []
  const peer = (around: readonly string[] = []) => {
    const made = new Peer({ CAISSON_ROOT: root }, around)
    peers.push(made)
    return made
  }
  beforeEach(() => {
    root = mkdtempSync(path.join(tmpdir(), 'caisson-shared-'))
  })
  afterEach(async () => {
    for (const each of peers.splice(0)) await each.end('SIGKILL')
    if (!noMachine) execFileSync('sh', ['-c', 'sleep 0.3; chmod -R u+rwx "$1"; rm -rf "$1"', 'sh', root])
  })

  const serve = (one: Peer, name: string, network: string, more = '') =>
    one.ask(`const { Container, Image } = caisson
      const command = ${JSON.stringify(SERVER(name, 80, 'AF_INET6'))}
      kept.${name} = await Container.create(await Image.host(), { name: '${name}', command, ${more} network: '${network}' })
      await kept.${name}.start()
      await kept.${name}.waitFor(caisson.Wait.port(80))
      return kept.${name}.inspect().networks?.[0]?.ipv4`)
  const get = (one: Peer, network: string, ...urls: string[]) =>
    one.ask(`const script = ${JSON.stringify(urls.map((url) => `curl -s -m 3 ${url} || printf none; echo`).join('\n'))}
      return (await caisson.run(await caisson.Image.host(), ['sh', '-c', script], { network: '${network}' })).stdout`)

  it('containers reach each other by name, whichever process has them, and not those of other networks', async () => {
    const [a, b] = [peer(), peer()]
    await a.ask(`await caisson.Network.create({ name: 'both' }); await caisson.Network.create({ name: 'other' })`)
    await serve(a, 'first', 'both', `ports: [{ container: 80 }],`)
    await serve(b, 'second', 'both')
    expect(await get(b, 'both', 'first', 'second')).toMatch(/^first .*\nsecond .*\n$/)
    expect(await get(a, 'both', 'second', `${THERE}:9000`)).toMatch(/^second .*\nworld .*\n$/)
    const address = await b.ask(`return (await (await caisson.Network.get('both')).inspect()).containers[0].ipv4`)
    expect(await get(a, 'other', 'second', address)).toBe('none\nnone\n')
    const port = await a.ask<number>('return kept.first.port(80).port')
    expect(await fetch(`http://127.0.0.1:${port}`).then((response) => response.text())).toMatch(/^first /)
    // One namespace, and one program that leads from there to the world.
    const [one, two] = [agentsOf(a), agentsOf(b)]
    expect([one.length, two.length]).toEqual([1, 1])
    expect(networkOf(one[0] as number)).toBe(networkOf(two[0] as number))
    expect(programsOf(a, b)).toHaveLength(1)
    await expect(a.ask(`await (await caisson.Network.get('both')).remove()`)).rejects.toMatchObject({
      code: 'ERR_CAISSON_IN_USE',
    })
  }, 60_000)

  it('a container of one process poses as none of another', async () => {
    const [a, b] = [peer(), peer()]
    await a.ask(`await caisson.Network.create({ name: 'both' })`)
    await serve(a, 'first', 'both')
    await serve(b, 'second', 'both')
    const of = (one: Peer) => one.ask(`return (await (await caisson.Network.get('both')).inspect()).containers[0].ipv4`)
    const [first, second] = [await of(a), await of(b)]
    const script = `ip address flush dev eth0; ip address add ${first}/22 dev eth0
      curl -s -m 1 ${second} >/dev/null && echo reached || echo none`
    const posing = `const security = { capabilities: { add: ['NET_ADMIN'] } }
      const image = await caisson.Image.host()
      return (await caisson.run(image, ['sh', '-c', ${JSON.stringify(script)}], { network: 'both', security })).stdout`
    expect(await b.ask(posing)).toBe('none\n')
    // Also while the kernel has not yet taken the namespace of the other one away.
    expect(await get(b, 'both', 'first')).toMatch(/^first /)
  }, 60_000)

  it('what others have stays when a process is killed, and the world is reached again', async () => {
    const [a, b] = [peer(), peer()]
    await a.ask(`await caisson.Network.create({ name: 'both' }); await caisson.Network.create({ name: 'lost' })`)
    await serve(a, 'first', 'both')
    await serve(a, 'more', 'lost')
    await serve(b, 'second', 'both')
    const ask = `return (await kept.second.exec(['curl', '-s', '-m', '1', '${THERE}:9000'])).stdout`
    expect([programsOf(a).length, programsOf(b).length]).toEqual([1, 0])
    expect(await b.ask(ask)).toContain('world ')
    await a.end('SIGKILL')
    // Nobody starts anything: the container that runs has it again.
    await until(async () => (await b.ask(ask)).includes('world '))
    expect(programsOf(b)).toHaveLength(1)
    expect(await get(b, 'both', 'second', 'first')).toMatch(/^second .*\nnone\n$/)
    const c = peer()
    expect(await get(c, 'both', 'second', `${THERE}:9000`)).toMatch(/^second .*\nworld /)
    const bridges = () => readFileSync(`/proc/${agentsOf(b)[0]}/net/dev`, 'utf8').match(/cnb-[0-9a-f]{8}/g)
    expect(bridges()).toHaveLength(1)
    // The program alone.
    process.kill(programsOf(b)[0] as number, 'SIGKILL')
    await new Promise((resolve) => setTimeout(resolve, 50))
    await until(async () => (await b.ask(ask)).includes('world '))
  }, 60_000)

  it('nothing is left when all have ended, at whatever moment', async () => {
    const a = peer()
    await a.ask(`await caisson.Network.create({ name: 'both' })`)
    const work = `kept.work = (async () => { for (;;) await caisson.run(await caisson.Image.host(), ['true'], { network: 'both' }) })()
      kept.work.catch((error) => console.error(error.message)); await new Promise((done) => setTimeout(done, 300))`
    let one = a
    // Without work the agent is the only one that carries its name: containers have it, too, before their programs.
    expect(await get(a, 'both', `${THERE}:9000`)).toContain('world ')
    const network = networkOf(agentsOf(a)[0] as number)
    for (let round = 0; round < ROUNDS; round++) {
      const next = peer()
      await Promise.all([one.ask(work), next.ask(work)])
      await until(() => insideOf(network).some((pid) => agentsOf(next).includes(pid)))
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 100))
      await one.end('SIGKILL')
      one = next
    }
    expect(await get(one, 'both', `${THERE}:9000`)).toContain('world ')
    await one.end('SIGKILL')
    await until(() => insideOf(network).length === 0)
    await until(() => readdirSync(path.join(root, 'run/spaces')).filter((name) => /^\d/.test(name)).length === 0)
    expect(execFileSync('ip', ['-o', 'link', 'show'], { encoding: 'utf8' })).not.toMatch(/cnb-|cnp-|tap0/)
  }, 120_000)

  it('of a process that cannot share them networks are out of reach, which is an error', async () => {
    const [a, b] = [peer(), peer(['setpriv', '--no-new-privs'])]
    await a.ask(`await caisson.Network.create({ name: 'both' })`)
    await serve(a, 'first', 'both')
    await expect(get(b, 'both', 'first')).rejects.toMatchObject({
      code: 'ERR_CAISSON_UNSUPPORTED',
      message: `network both is out of reach: process ${a.pid} has it`,
      hint: expect.stringContaining('/etc/subuid'),
    })
    // On the default network nobody is known by name.
    expect(await get(b, 'bridge', `${THERE}:9000`)).toContain('world ')
    await a.end('SIGKILL')
    await until(() =>
      get(b, 'both', `${THERE}:9000`).then(
        (text) => text.includes('world '),
        () => false,
      ),
    )
  }, 60_000)
})
