/**
 * User-mode networking: a program of this user that opens a connection on the host for each that leaves a network
 * namespace. pasta, or slirp4netns where that is missing. It forwards nothing inwards and does not lead to the host's
 * loopback; both confine themselves once they are set up. One process starts it for all that share the namespace, and it
 * ends with that one: then another does.
 */
import { accessSync, constants, existsSync, type FSWatcher, readFileSync, rmSync, watch } from 'node:fs'
import { Socket } from 'node:net'
import path from 'node:path'
import { CaissonError } from '../../errors.js'
import { addon } from '../../native/addon.js'
import { errorFromFailure } from '../../native/failure.js'
import { awake } from '../../util/awake.js'
import { readLog } from '../container/log.js'
import { Plan } from '../lower/plan.js'
import { execute } from '../lower/program.js'
import { Running } from '../process/running.js'
import { makePipe } from '../process/streams.js'
import { settled } from './alive.js'
import { worldLock } from './spaces.js'

const USER_MODE_PROGRAMS = ['pasta', 'slirp4netns'] as const
type ProgramName = (typeof USER_MODE_PROGRAMS)[number]

const USUAL_PLACES = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
const TUN = '/dev/net/tun'
const DEVICE = 'tap0'
/** Link-local and unique local: of no network that anybody could want to reach. Both programs get the same. */
const OUTER = { own: '169.254.77.2', prefix: 30, router: '169.254.77.1', own6: 'fdca:1550:77::2', router6: 'fe80::1' }
const SLIRP_NETWORK = '169.254.77.0/24'
/** Milliseconds. */
const PATIENCE = 10_000
const LOOK_EVERY = 3
const LIVED_MS = 1000
const AFTER_END_MS = 150
/** How often it is looked at whether another process's program has ended. */
const LOOKS = 4
/** Bytes; the newest half is kept. */
const LOG_LIMIT = 64 << 10
/** Characters of what the program said before it failed, for the error. */
const SAID_MAX = 400
/** Of addon/init/plan.h. */
const FIRST_FD = 5

/** The first that is installed, by PATH. */
export function findUserMode(): { name: ProgramName; file: string } | undefined {
  const places = (process.env.PATH ?? USUAL_PLACES).split(':').filter((place) => path.isAbsolute(place))
  for (const name of USER_MODE_PROGRAMS)
    for (const place of places) {
      const file = path.join(place, name)
      if (may(file, constants.X_OK)) return { name, file }
    }
  return undefined
}

/** Both programs need it; udev lets everybody use it. */
export function tunUsable(): boolean {
  return may(TUN, constants.R_OK | constants.W_OK)
}

export const TUN_CURE = existsSync(TUN) ? `as root: chmod 0666 ${TUN}` : 'as root: modprobe tun'
export const INSTALL_CURE =
  'as root: apt-get install passt (Fedora: dnf install passt), for pasta; slirp4netns will do as well'

function may(file: string, mode: number): boolean {
  try {
    accessSync(file, mode)
    return true
  } catch {
    return false
  }
}

/** A network namespace. */
export interface OuterNamespace {
  /** The number of a process in it, which is made if there is none. */
  pid(): Promise<number>
  /** Names of its devices. */
  devices(): string[]
  /** A directory of ours for files that pass. */
  run: string
}

export class UserMode {
  readonly #pid: () => Promise<number>
  readonly #devices: () => string[]
  readonly #run: string
  /** Ours; undefined: none, or that of another process. */
  #program: Promise<Running | undefined> | undefined
  #watching: FSWatcher | undefined

  constructor({ pid, devices, run }: OuterNamespace) {
    this.#pid = pid
    this.#devices = devices
    this.#run = run
  }

  /** Starts the program unless it runs, here or for another process. */
  async reach(): Promise<void> {
    this.#watchOthers()
    const program = await this.#obtain()
    if (program && (await settled(program))) await this.#obtain()
  }

  #obtain(): Promise<Running | undefined> {
    this.#program ??= this.#startAlone().then(
      (running) => {
        if (running) this.#replaceAtEnd(running)
        else this.#program = undefined
        return running
      },
      (error) => {
        this.#program = undefined
        throw error
      },
    )
    return this.#program
  }

  /** Its device says that one runs: it goes with it. Others wait until it is set up. */
  async #startAlone(): Promise<Running | undefined> {
    const lock = await addon().lock(worldLock(), true, true)
    try {
      const pid = await this.#pid()
      return this.#devices().includes(DEVICE) ? undefined : await this.#start(pid)
    } finally {
      addon().closeFd(lock)
    }
  }

  /** Containers that run need it, too; but what hardly lived is started by whoever asks next. */
  #replaceAtEnd(running: Running): void {
    const started = Date.now()
    void running.ended.then(() => {
      this.#program = undefined
      if (Date.now() - started > LIVED_MS) this.#again()
    })
  }

  #again(): void {
    if (!this.#program) this.#obtain().catch(() => undefined)
  }

  /** Owners' directories go when they end, and what they have started has ended by then, or ends this moment. */
  #watchOthers(): void {
    if (this.#watching) return
    let looks = 0
    const look = () => {
      this.#again()
      if (--looks > 0) setTimeout(look, AFTER_END_MS).unref()
    }
    try {
      this.#watching = watch(path.dirname(this.#run), { persistent: false }, () => {
        if (looks === 0) setTimeout(look, AFTER_END_MS).unref()
        looks = LOOKS
      })
      this.#watching.on('error', () => undefined)
    } catch {
      // No more of these to be had: the next container that is started sees to it.
    }
  }

  async #start(pid: number): Promise<Running> {
    const program = findUserMode()
    if (!program) throw notInstalled()
    if (!tunUsable())
      throw new CaissonError('ERR_CAISSON_PERMISSION', `${program.name} needs ${TUN}, which this user may not use`, {
        stage: 'network',
        hint: `${TUN_CURE}.`,
      })
    return program.name === 'pasta' ? this.#startPasta(program.file, pid) : this.#startSlirp(program.file, pid)
  }

  async #startPasta(file: string, pid: number): Promise<Running> {
    const { own, prefix, router, own6, router6 } = OUTER
    const pidFile = path.join(this.#run, 'pasta.pid')
    rmSync(pidFile, { force: true })
    const none = ['-t', 'none', '-u', 'none', '-T', 'none', '-U', 'none', '--no-map-gw']
    const quiet = ['--foreground', '--quiet', '--no-dhcp', '--no-dhcpv6', '--no-ra']
    const device = ['-I', DEVICE, '-a', own, '-n', String(prefix), '-g', router, '-a', own6, '-g', router6]
    const args = [file, ...quiet, ...none, ...device, '--config-net', '--pid', pidFile, String(pid)]
    // It writes that when all is set up.
    return this.#execute(args, new Plan(), 'pasta', () => existsSync(pidFile) && readFileSync(pidFile).length > 0)
  }

  async #startSlirp(file: string, pid: number): Promise<Running> {
    const ready = makePipe()
    const exit = makePipe()
    let isReady = false
    const telling = new Socket({ fd: ready.read, readable: true, writable: false })
    telling.once('data', () => {
      isReady = true
    })
    const plan = new Plan()
    const [readyFd, exitFd] = [ready.write, exit.read].map((fd) => FIRST_FD + plan.inherit(fd))
    const safe = ['--disable-host-loopback', '--disable-dns', '--enable-sandbox', '--enable-seccomp']
    const where = ['--configure', '--cidr', SLIRP_NETWORK, '--netns-type', 'pid']
    const told = ['--ready-fd', String(readyFd), '--exit-fd', String(exitFd)]
    const args = [file, ...safe, ...where, ...told, String(pid), DEVICE]
    try {
      const running = await this.#execute(args, plan, 'slirp4netns', () => isReady)
      // It ends when that is closed: by us, or with us.
      void running.ended.then(() => addon().closeFd(exit.write))
      return running
    } catch (error) {
      addon().closeFd(exit.write)
      throw error
    } finally {
      telling.destroy()
    }
  }

  async #execute(args: string[], plan: Plan, name: ProgramName, ready: () => boolean): Promise<Running> {
    const kept = plan.inherited.length
    const log = path.join(this.#run, `${name}.log`)
    plan.add('PARENT_DEATH', 'network')
    execute(plan, { args, env: [] }, kept)
    const running = new Running({
      plan: plan.finish(),
      inherited: plan.inherited,
      namespaces: 0,
      stdio: ['null', 'capture', 'capture'],
      log,
      logLimit: LOG_LIMIT,
      background: true,
    })
    plan.release()
    for (const end = Date.now() + PATIENCE; !ready(); ) {
      if (Date.now() > end) running.kill('stopped')
      if (running.over || Date.now() > end) throw await failed(running, plan, name, log)
      await awake(new Promise((resolve) => setTimeout(resolve, LOOK_EVERY)))
    }
    return running
  }
}

async function failed(running: Running, plan: Plan, name: ProgramName, log: string): Promise<Error> {
  const { failure } = await awake(running.ended)
  if (failure) return errorFromFailure({ ...failure, stage: `network: ${name}` }, plan.notes)
  const lines: string[] = []
  for await (const { data } of readLog(log, {}, () => true)) lines.push(data.toString().trim())
  const said = lines.filter((line) => line !== '' && !line.endsWith('to syslog')).join('; ')
  return new CaissonError('ERR_CAISSON_NETWORK', `${name} ended: ${said.slice(0, SAID_MAX) || 'it said nothing'}`, {
    stage: 'network',
    hint: 'It connects networks with the world, which the host must have a route to; ones with internal: true do without.',
  })
}

function notInstalled(): CaissonError {
  return new CaissonError(
    'ERR_CAISSON_UNSUPPORTED',
    'an ordinary user needs pasta or slirp4netns for networks that lead to the world; neither is installed',
    {
      stage: 'network',
      hint: `${INSTALL_CURE}. Networks with internal: true, network: "none" and container.connect(port) need neither.`,
    },
  )
}
