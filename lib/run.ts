/** One call: run a program in a container of its own, which is gone when the program has ended. */
import { accountPaths } from './cgroup/usage.js'
import { CaissonError, invalidArgument } from './errors.js'
import { Execution, type Launched, type LaunchRequest } from './execution.js'
import { Image } from './image.js'
import type { RunOptions } from './options.js'
import { type Assembled, assemble } from './runtime/assemble.js'
import { chooseNamespaces } from './runtime/choose-namespaces.js'
import { lower } from './runtime/lower.js'
import { owner } from './runtime/owner.js'
import { Running } from './runtime/running.js'
import { verdict } from './runtime/verdict.js'
import { newId } from './util/ids.js'

/**
 * Runs `command` (default: the image's) and gives its result. The network is `none` unless asked otherwise, the
 * writable layer is in memory, and nothing is left afterwards.
 */
export function run(image: string | Image, command?: readonly string[], options: RunOptions = {}): Execution {
  if (command !== undefined && !Array.isArray(command)) throw invalidArgument('command', command, 'an array of strings')
  return new Execution((request) => launch(image, command, options, request), options)
}

async function launch(
  image: string | Image,
  command: readonly string[] | undefined,
  options: RunOptions,
  request: LaunchRequest,
): Promise<Launched> {
  const holder = await owner()
  const { root } = typeof image === 'string' ? await Image.get(image) : image
  const namespaces = await chooseNamespaces(options)
  try {
    return start(assemble({ id: newId(), owner: holder, image: root, command, options, namespaces }), request)
  } finally {
    namespaces.close()
  }
}

function start({ workload, cgroup }: Assembled, request: LaunchRequest): Launched {
  const { plan, cloneFlags } = lower(workload)
  const running = new Running(
    {
      plan: plan.finish(),
      inherited: plan.inherited,
      namespaces: cloneFlags,
      cgroup: cgroup.native,
      prepare: cgroup.prepare,
      collect: accountPaths(cgroup.files),
      cpuFile: cgroup.files.cpu,
      oomControl: cgroup.oomControl,
      killRest: true,
      stdio: request.stdio,
      input: request.input,
      captureLimit: request.captureLimit,
      wallLimitMs: request.wallLimitMs,
      cpuLimitMs: request.cpuLimitMs,
    },
    request.events,
  )
  return {
    running,
    conclude(report) {
      const result = verdict(report, cgroup.files, plan.notes)
      if (result instanceof CaissonError) throw result
      return result
    },
  }
}
