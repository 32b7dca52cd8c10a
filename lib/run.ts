/** One call: run a program in a container of its own, which is gone when the program has ended. */
import { CaissonError, invalidArgument } from './errors.js'
import { Execution, type Launched, type LaunchRequest, limitsOf } from './execution.js'
import { Image } from './image.js'
import type { RunOptions } from './options.js'
import { assemble } from './runtime/assemble.js'
import { chooseNamespaces } from './runtime/choose-namespaces.js'
import { lower } from './runtime/lower.js'
import { owner } from './runtime/owner.js'
import { start } from './runtime/start.js'
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
    const id = newId()
    const { workload, cgroup } = assemble({ id, owner: holder, image: root, command, options, namespaces })
    const lowered = lower(workload)
    const running = start(
      lowered,
      cgroup,
      { ...limitsOf(request), devices: workload.devices, killRest: true },
      request.events,
    )
    return {
      running,
      subject: { kind: 'run', container: id, command: workload.spec.process?.args ?? [] },
      conclude(report) {
        const result = verdict(report, cgroup.files, lowered.plan.notes)
        if (result instanceof CaissonError) throw result
        return result
      },
    }
  } finally {
    namespaces.close()
  }
}
