/**
 * A network of the tests' own: this process is in a network namespace that stands for a machine, with a neighbour on its
 * network in another one. Of the real machine's network nothing is seen or changed.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, readlinkSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { findProgram, isRoot } from './needs.js'
import { until } from './until.js'

export { until }

/** Whoever made the namespace says which it is. */
const alone = () => readlinkSync('/proc/self/ns/net') === process.env.CAISSON_TEST_LAN

/** For testIf: why these tests cannot run. */
export const noLan =
  (!isRoot && 'bridge networks are for root') ||
  (!findProgram('ip') && 'no ip(8)') ||
  (!alone() && 'needs a network namespace of its own: node scripts/test.mjs network')

/** For tests as an ordinary user, on a machine that root has made (machine.sh). */
export const noMachine =
  (isRoot && 'for an ordinary user') ||
  (process.env.CAISSON_TEST_MACHINE !== readlinkSync('/proc/self/ns/net') &&
    'needs a machine of its own: node scripts/test.mjs user') ||
  (!findProgram('pasta') && 'no pasta(1)') ||
  (!findProgram('slirp4netns') && 'no slirp4netns(1)')

/** The machine's address on the network, and its neighbour's. */
export const HERE = '192.168.77.1'
export const THERE = '192.168.77.2'
export const HERE6 = 'fd77::1'
export const THERE6 = 'fd77::2'

/** Runs a command of the shell as the machine; its output, or an error with what it said. */
export function shell(command: string): string {
  return execFileSync('sh', ['-c', command], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], timeout: 20_000 })
}

/** Its output, or undefined when it fails. */
export function attempt(command: string): string | undefined {
  try {
    return shell(command)
  } catch {
    return undefined
  }
}

export class Lan {
  /** What the tests have on disk: CAISSON_ROOT. */
  root = ''
  readonly #children: ChildProcess[] = []
  #neighbour = 0

  /** For the tests of a file, there before their own preparations and until they have tidied up. `missing`: why they cannot run. */
  static forTests(missing: string | false = noLan): Lan {
    const lan = new Lan()
    beforeAll(async () => (missing ? undefined : await lan.#start()))
    afterAll(() => (missing ? undefined : lan.#stop()))
    return lan
  }

  /** As the neighbour; see `shell` and `attempt`. */
  from = (command: string): string => shell(this.#enter(command))
  tries = (command: string): string | undefined => attempt(this.#enter(command))

  #enter(command: string): string {
    return `exec nsenter --net=/proc/${this.#neighbour}/ns/net sh -c '${command.replaceAll("'", "'\\''")}'`
  }

  /** Something that runs until the end, as the machine or as its neighbour. */
  background(where: 'here' | 'there', command: string[]): ChildProcess {
    const enter = where === 'here' ? [] : ['nsenter', `--net=/proc/${this.#neighbour}/ns/net`]
    const [file, ...args] = [...enter, ...command] as [string, ...string[]]
    const child = spawn(file, args, { stdio: 'ignore' })
    this.#children.push(child)
    return child
  }

  async #start(): Promise<void> {
    this.root = mkdtempSync(path.join(tmpdir(), 'caisson-lan-'))
    process.env.CAISSON_ROOT = this.root
    this.#neighbour = this.background('here', ['unshare', '--net', 'sleep', '600']).pid as number
    await until(() => readlinkSync(`/proc/${this.#neighbour}/ns/net`) !== readlinkSync('/proc/self/ns/net'))
    // New namespaces have the settings of the first one (net.core.devconf_inherit_init_net).
    shell(`echo 0 > /proc/sys/net/ipv4/conf/all/forwarding; ip link set lo up
      ip link add up0 type veth peer name lan0 netns ${this.#neighbour}
      ip address add ${HERE}/24 dev up0; ip address add ${HERE6}/64 dev up0 nodad; ip link set up0 up`)
    this.from(`ip link set lo up
      ip address add ${THERE}/24 dev lan0; ip address add ${THERE6}/64 dev lan0 nodad; ip link set lan0 up`)
    shell(`ip route add default via ${THERE}`)
  }

  #stop(): void {
    for (const child of this.#children) child.kill('SIGKILL')
    attempt('ip link delete up0; nft delete table ip filter')
    // Of networks that this process would keep until its end; the next file is another machine.
    for (const [bridge] of shell('ip -o link show').matchAll(/\bcnb-[0-9a-f]{8}\b/g))
      attempt(`ip link delete ${bridge}`)
    rmSync(this.root, { recursive: true, force: true })
  }
}

/** A web server for containers and for others: answers with its text and the client's address. */
export const SERVER = (text: string, port = 80, family = 'AF_INET') => [
  'python3',
  '-u',
  '-c',
  `
import http.server, socket
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers()
        self.wfile.write(('${text} ' + self.client_address[0]).encode())
    def log_message(self, *_): pass
class Server(http.server.ThreadingHTTPServer):
    address_family = socket.${family}
Server(('', ${port}), Handler).serve_forever()
`,
]
