/**
 * Layers of an ordinary user: only inside its user namespace can files get the owners that an archive names, or be read
 * and removed when they belong to others. No thread of this process can go there (setns(2)), so a process of its own
 * does the work, as lib/layer/worker.ts; it starts in some tens of milliseconds, and ends with its task.
 */
import { createReadStream } from 'node:fs'
import { Socket } from 'node:net'
import path from 'node:path'
import { createInterface } from 'node:readline'
import type { LayerLine, LayerTask } from '../../layer/worker.js'
import type {
  NativeFault,
  NativeIdRanges,
  NativeLayer,
  NativeLocation,
  NativeRunning,
  NativeWork,
} from '../../native/layer.js'
import { packageRoot } from '../../native/load.js'
import type { IdMapping } from '../../spec/runtime.js'
import { awake } from '../../util/awake.js'
import { becomeRootIn } from '../lower/namespaces.js'
import { Plan } from '../lower/plan.js'
import { execute } from '../lower/program.js'
import { duplicate, type NamespaceHandle } from '../process/namespaces.js'
import { Running } from '../process/running.js'
import { makePipe } from '../process/streams.js'
import type { IdMapPair } from './id-maps.js'

/** Of addon/init/plan.h. */
const FIRST_FD = 5
/** Characters of what the process said before it failed, for the error. */
const SAID_MAX = 400

interface Work {
  running: Running
  /** Where the chunks of an archive go. */
  input?: Socket
  cancelled: boolean
}

export function layersInside(user: NamespaceHandle, { uidMap, gidMap }: IdMapPair): NativeLayer {
  const works = new WeakMap<NativeWork, Work>()

  /** `given`: descriptors for standard input and output, taken over; `progress` is for whoever wants it. */
  function start<T>(
    task: (place: (location: NativeLocation) => NativeLocation) => LayerTask,
    given: { input?: number; output?: number } = {},
    progress?: (bytes: number, entries: number) => void,
  ): NativeRunning<T> & { work: Work } {
    const plan = new Plan()
    const { read, write } = makePipe()
    plan.inherit(write)
    const asking = makePipe()
    plan.inherit(asking.read)
    const place = (location: NativeLocation): NativeLocation =>
      typeof location === 'number' ? FIRST_FD + plan.inherit(duplicate(location)) : location
    const request = JSON.stringify(task(place))
    const kept = plan.inherited.length
    becomeRootIn(user, plan, 'layer')
    plan.add('PARENT_DEATH', 'layer')
    const script = path.join(packageRoot(), 'dist', 'layers.js')
    execute(plan, { args: [process.execPath, script], env: ['ELECTRON_RUN_AS_NODE=1'] }, kept)
    const running = new Running({
      plan: plan.finish(),
      inherited: plan.inherited,
      namespaces: 0,
      stdio: [given.input ?? 'null', given.output ?? 'null', 'capture'],
      captureLimit: SAID_MAX * 4,
    })
    plan.release()
    const question = new Socket({ fd: asking.write, readable: false, writable: true })
    // That it has ended already comes as the outcome.
    question.on('error', () => undefined)
    question.end(request)
    const work: Work = { running, cancelled: false }
    const handle = Object.freeze({}) as NativeWork
    works.set(handle, work)
    return { handle, work, done: awake(outcome<T>(work, read, progress)) }
  }

  return {
    apply(options, progress) {
      const fromPath = typeof options.source === 'string'
      const pipe = options.source === undefined ? makePipe() : undefined
      const input = typeof options.source === 'number' ? duplicate(options.source) : pipe?.read
      const { handle, work, done } = start<never>(
        (place) => ({
          name: 'apply',
          options: {
            ...options,
            source: fromPath ? options.source : undefined,
            directory: place(options.directory),
            overlayXattrs: options.overlayXattrs ?? 'user',
            uids: options.uids ?? themselves(uidMap),
            gids: options.gids ?? themselves(gidMap),
          },
        }),
        { input },
        progress,
      )
      if (pipe) {
        work.input = new Socket({ fd: pipe.write, readable: false, writable: true })
        // What is wrong comes as the outcome; that nobody reads any more follows from it.
        work.input.on('error', () => undefined)
      }
      return { handle, done }
    },
    write(handle, chunk) {
      const input = works.get(handle)?.input
      return new Promise((resolve) => {
        if (!input || input.destroyed) resolve(false)
        else input.write(chunk, (error) => resolve(!error))
      })
    },
    end(handle) {
      works.get(handle)?.input?.end()
    },
    cancel(handle) {
      const work = works.get(handle)
      if (!work) return
      work.cancelled = true
      work.running.kill('stopped')
      work.input?.destroy()
    },
    pack: (options, fd) =>
      start(
        (place) => ({
          name: 'pack',
          options: { ...options, directory: place(options.directory), overlayXattrs: options.overlayXattrs ?? 'user' },
        }),
        { output: duplicate(fd) },
      ),
    diff: (options) =>
      start((place) => ({
        name: 'diff',
        options: {
          ...options,
          upper: place(options.upper),
          lowers: options.lowers.map(place),
          overlayXattrs: options.overlayXattrs ?? 'user',
        },
      })),
    settle: (options) =>
      start((place) => ({
        name: 'settle',
        options: {
          ...options,
          directory: place(options.directory),
          lowers: options.lowers.map(place),
          overlayXattrs: options.overlayXattrs ?? 'user',
        },
      })),
    remove: (directory, entry) => start(() => ({ name: 'remove', directory: String(directory), entry })),
  }
}

/** Ids that exist inside, each as itself: any other is an error with a name, and not just refused by the kernel. */
function themselves(map: readonly IdMapping[]): NativeIdRanges {
  return map.flatMap(({ containerID, size }) => [containerID, containerID, size])
}

async function outcome<T>(
  work: Work,
  read: number,
  progress: ((bytes: number, entries: number) => void) | undefined,
): Promise<T> {
  let last: LayerLine | undefined
  const lines = createInterface({ input: createReadStream('', { fd: read }) })
  for await (const text of lines) {
    const line = JSON.parse(text) as LayerLine
    if ('progress' in line) progress?.(...line.progress)
    else last = line
  }
  const report = await work.running.ended
  work.input?.destroy()
  if (last && 'result' in last) return last.result as T
  if (last && 'fault' in last) throw last.fault
  const fault: NativeFault = {
    kind: work.cancelled ? 'cancelled' : 'system',
    what: work.cancelled ? 'cancelled' : `the process for it ended: ${report.stderr.toString().slice(0, SAID_MAX)}`,
    entry: '',
    syscall: report.failure?.syscall ?? 'execve',
    errno: report.failure?.errno ?? 10,
  }
  throw fault
}
