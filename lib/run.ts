/** One call: run a program in a container of its own, which is gone when the program has ended. */
import type { AccountFiles } from './cgroup/accounts.js'
import { CaissonError, invalidArgument } from './errors.js'
import { type ExecResult, Execution } from './execution.js'
import { RunHealth } from './health.js'
import { Image } from './image.js'
import type { NativeReport } from './native/addon.js'
import type { Note } from './native/failure.js'
import { EgressNetwork } from './network/egress/network.js'
import type { RunOptions } from './options.js'
import { attach, releaseAttachment, startAttachment } from './runtime/container/attachments.js'
import { healthPlan } from './runtime/container/health.js'
import { type HeldVolumes, takeVolumes } from './runtime/container/volumes.js'
import { checkTier } from './runtime/isolation/isolation.js'
import { takePlace, tierOf } from './runtime/isolation/place.js'
import { lower } from './runtime/lower/lower.js'
import { checkContainerOptions } from './runtime/options/check.js'
import { type Launched, type LaunchRequest, limitsOf, withTerminalSize } from './runtime/process/launch.js'
import { owner } from './runtime/process/owner.js'
import { templateFor } from './runtime/process/run-template.js'
import { checkCounted, start } from './runtime/process/start.js'
import { verdictOfCall } from './runtime/process/verdict.js'
import { newId } from './util/ids.js'

/**
 * Runs `command` (default: the image's) and gives its result. The network is `none` unless asked otherwise, the
 * writable layer is in memory, and nothing is left afterwards.
 */
export function run(image: string | Image, command?: readonly string[], options: RunOptions = {}): Execution {
  return new Execution((request) => launch(image, command, options, request), options)
}

async function launch(
  image: string | Image,
  command: readonly string[] | undefined,
  given: RunOptions,
  request: LaunchRequest,
): Promise<Launched> {
  const options = withTerminalSize(given, request)
  if (command !== undefined && !Array.isArray(command)) throw invalidArgument('command', command, 'an array of strings')
  checkContainerOptions(options)
  if (options.restart !== undefined && options.restart !== 'no')
    throw new CaissonError('ERR_CAISSON_INVALID_ARGUMENT', 'restart: run() ends with its program', {
      stage: 'options',
      hint: 'Container.create() makes what is started again.',
    })
  const holder = await owner()
  checkTier(holder.isolation, options.security?.require)
  // A name may have to be fetched, and layers unpacked.
  const signal = typeof image === 'string' ? request.signal() : options.signal
  const root = await (await Image.resolve(image, { ...options, signal })).rootfs(signal)
  // As docker's, places that are volumes can be written to in a root that cannot.
  const writes = options.readOnly === true && Object.keys(root.config.Volumes ?? {}).length > 0
  // An image's own check is for kept containers: a run that asks for none pays for none.
  const plan = healthPlan(options.healthcheck ?? false, undefined)
  const plain = holder.isolation.tier === 'namespaces' && !writes && !plan
  const template = plain ? templateFor(holder, root, options) : undefined
  if (template) {
    const { id, args, running, files, notes } = template.start(command, options, limitsOf(request), request.events)
    const subject = { kind: 'run' as const, container: id, command: args, tier: 'namespaces' as const }
    return { running, subject, conclude: (report) => concluded(report, files, report.failure ? notes() : []) }
  }
  const place = await takePlace(holder, options)
  const id = newId()
  let volumes: HeldVolumes | undefined
  const close = async () => {
    await place.close()
    await volumes?.release(true)
    await releaseAttachment(id)
  }
  try {
    const network = await attach(options, holder, { id, ...options, exposed: root.config.ExposedPorts })
    volumes = await takeVolumes(options, { id, owner: holder, image: root, kept: writes })
    const chosen = volumes ? { ...options, mounts: volumes.mounts } : options
    const accompanied = plan !== undefined
    const assembled = place.assemble({ id, image: root, command, options: chosen, network, accompanied })
    const { workload, cgroup } = assembled
    const program = workload.spec.process?.args ?? []
    const subject = { kind: 'run' as const, container: id, command: program, tier: tierOf(workload) }
    const health = plan && new RunHealth(plan, { subject, assembled, owner: holder })
    if (network) await startAttachment(network, place.namespaces)
    const lowered = lower(workload)
    checkCounted(request, cgroup, holder.cgroups)
    const running = start(
      lowered,
      cgroup,
      { ...limitsOf(request), ...(health ? { quiet: false } : {}), devices: workload.devices, killRest: true },
      health ? health.watching(request.events, () => running) : request.events,
    )
    network?.handedOver()
    const closed = running.ended.then(() => health?.end()).then(close)
    return {
      running,
      subject,
      async conclude(report) {
        // Whoever has the result may use the same address, port or volume again.
        await closed
        const result = concluded(report, cgroup.files, lowered.plan.notes)
        health?.concluded(result)
        return network instanceof EgressNetwork ? { ...result, egress: { ...network.usage } } : result
      },
    }
  } catch (error) {
    await close()
    throw error
  }
}

function concluded(report: NativeReport, files: AccountFiles, notes: readonly Note[]): ExecResult {
  const result = verdictOfCall(report, files, notes)
  if (result instanceof CaissonError) throw result
  return result
}
