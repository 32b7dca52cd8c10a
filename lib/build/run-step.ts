/** RUN: a command in a container of its own, whose writable layer on disk becomes the layer. */
import { mkdir, writeFile } from 'node:fs/promises'
import { constants } from 'node:os'
import path from 'node:path'
import { CaissonError } from '../errors.js'
import { type ExecResult, Execution } from '../execution.js'
import type { Change } from '../layer/diff.js'
import { removeTree } from '../layer/tree.js'
import type { RunOptions } from '../options.js'
import { ContainerAgent } from '../runtime/container/agents.js'
import { ContainerArchive } from '../runtime/container/archive.js'
import { attach, releaseAttachment, startAttachment } from '../runtime/container/attachments.js'
import { layersOnDisk } from '../runtime/container/parts.js'
import { takePlace, tierOf } from '../runtime/isolation/place.js'
import { lower } from '../runtime/lower/lower.js'
import { limitsOf } from '../runtime/process/launch.js'
import { start } from '../runtime/process/start.js'
import { verdict } from '../runtime/process/verdict.js'
import { defaultPlatform } from '../spec/platform.js'
import { newId } from '../util/ids.js'
import type { RunStep } from './dockerfile/plan-types.js'
import { formatPlatform, type Platform } from './dockerfile/platform.js'
import { type BuildLayer, lowersOf, type Stack, storeTree } from './layers.js'
import type { Mask } from './mask.js'
import { nameservers } from './name-servers.js'
import type { BuildOptions } from './options.js'
import type { PreparedMounts } from './run-mounts.js'
import type { Workspace } from './workspace.js'

type Told = Pick<BuildOptions, 'network' | 'limits' | 'stepTimeout' | 'ulimits' | 'extraHosts' | 'shmSize'>

/** Bytes of output that are passed on; a command that floods goes on, and is not listened to. */
const OUTPUT_MAX = 2 * 1024 * 1024
/** Exit code of a program that is there and cannot be executed. */
const NOT_EXECUTABLE = 126
/** Bytes of the end of the output that an error quotes. */
const TAIL_MAX = 4096

/** @returns undefined when the command changed nothing. */
export async function runStep(
  space: Workspace,
  stack: Stack,
  step: RunStep,
  { mounts, env }: PreparedMounts,
  told: Told,
  mask: Mask,
  epoch: number | undefined,
  platform: Platform,
  onOutput: (stream: 'stdout' | 'stderr', data: Buffer) => void,
): Promise<BuildLayer | undefined> {
  const id = newId()
  const owner = await space.owner()
  const directory = await space.path()
  const options = await optionsOf(space, step, { mounts, env }, told)
  const root = { lower: await lowersOf(space, stack), trees: [], hidden: [], config: {} }
  const place = await takePlace(owner, options)
  try {
    const network = await attach(options, owner, { id, hostname: options.hostname })
    const copied = !(await layersOnDisk(owner))
    const assembled = place.assemble({ id, image: root, command: step.args, directory, copied, network, kept: true })
    const { workload, cgroup } = assembled
    await mkdir(directory, { mode: 0o711 })
    for (const name of ['upper', 'work', 'root']) await mkdir(path.join(directory, name), { mode: 0o755 })
    for (const [name, content] of Object.entries(workload.etc)) await writeFile(path.join(directory, name), content)
    const tail = new Tail()
    let isForeign = false
    const execution = new Execution(
      async (request) => {
        if (network) await startAttachment(network, place.namespaces)
        const lowered = lower(workload)
        const limits = { ...limitsOf(request), devices: workload.devices, killRest: true }
        const running = start(lowered, cgroup, limits, request.events)
        network?.handedOver()
        return {
          running,
          subject: { kind: 'run', container: id, command: step.args, tier: tierOf(workload) },
          conclude: (report) => {
            const result = verdict(report, cgroup.files, lowered.plan.notes)
            if (result instanceof CaissonError) throw result
            // The command itself was not executed: a program of its own may say the same of something else.
            const isRefused = report.failure !== undefined && result.exitCode === NOT_EXECUTABLE
            isForeign = isRefused && platform.architecture !== defaultPlatform().architecture
            return result
          },
        }
      },
      { signal: space.signal, timeout: told.stepTimeout },
    )
    const masked = { stdout: mask.stream(), stderr: mask.stream() }
    const tell = (stream: 'stdout' | 'stderr', data: Buffer) => {
      if (data.length > 0) tail.take(data, () => onOutput(stream, data))
    }
    for await (const { stream, data } of execution) tell(stream, masked[stream].take(data))
    for (const stream of ['stdout', 'stderr'] as const) tell(stream, masked[stream].end())
    const result = await execution
    if (isForeign) throw foreign(step, platform)
    if (result.reason !== 'exit' || result.exitCode !== 0) throw failed(step, result, tail)
    const agent = new ContainerAgent(workload, () => undefined, true)
    const archive = new ContainerArchive(agent, workload, false)
    const latest = epoch === undefined ? {} : { latest: new Date(epoch * 1000) }
    const targets = mounts.map(({ target }) => path.posix.resolve('/', target))
    return await archive.packed(space.signal, (pack) =>
      storeTree(space, { ...pack, ...latest, changes: withoutStubs(pack.changes ?? [], targets) }),
    )
  } finally {
    await place.close()
    await releaseAttachment(id)
    await removeTree(directory)
  }
}

/** A program for other processors. */
function foreign({ args }: RunStep, platform: Platform): CaissonError {
  return new CaissonError(
    'ERR_CAISSON_UNSUPPORTED',
    `${JSON.stringify(args.join(' ').slice(0, 500))}: this machine runs no programs for ${formatPlatform(platform)}`,
    {
      stage: 'run',
      hint: 'Have the kernel run them by an emulator that is registered with binfmt_misc (Debian: qemu-user-static), or do this in a stage that begins with FROM --platform=$BUILDPLATFORM.',
    },
  )
}

async function optionsOf(
  space: Workspace,
  step: RunStep,
  { mounts, env }: Pick<PreparedMounts, 'mounts' | 'env'>,
  told: Told,
) {
  const asked = step.network === 'default' ? (told.network ?? 'default') : step.network
  const insecure = step.security === 'insecure'
  const where = asked === 'default' ? await space.network(insecure) : { network: asked }
  const options: RunOptions = {
    env: [...step.env, ...step.quietEnv, ...env],
    workdir: step.workdir,
    ...(step.user === '' ? {} : { user: step.user }),
    mounts,
    ...where,
    hostname: 'build',
    dns: where.network === 'host' ? await nameservers() : [],
    extraHosts: told.extraHosts,
    limits: told.limits,
    ulimits: told.ulimits,
    shmSize: told.shmSize,
    // As docker build: installers use sudo and its like.
    security: { noNewPrivileges: false, ...(insecure ? { privileged: true } : {}) },
  }
  return options
}

/** Directories that were made only for something to be mounted in them are not the command's doing. */
function withoutStubs(changes: readonly Change[], targets: readonly string[]): Change[] {
  const kept: Change[] = []
  const filled = new Set<string>()
  // What lies in a directory comes after it.
  for (const change of changes.toReversed()) {
    const { path: at, kind } = change
    const isStub = kind === 'added' && targets.some((target) => target.startsWith(`${at}/`))
    if (isStub && !filled.has(at)) continue
    kept.push(change)
    for (let above = path.posix.dirname(at); above !== '/'; above = path.posix.dirname(above)) {
      if (filled.has(above)) break
      filled.add(above)
    }
  }
  return kept.reverse()
}

class Tail {
  #seen = 0
  #bytes = Buffer.alloc(0)

  take(data: Buffer, pass: () => void): void {
    this.#seen += data.length
    this.#bytes = Buffer.concat([this.#bytes, data]).subarray(-TAIL_MAX)
    if (this.#seen <= OUTPUT_MAX) pass()
  }

  get text(): string {
    return this.#bytes.toString('utf8').trim().split('\n').slice(-20).join('\n')
  }
}

function failed({ args }: RunStep, result: ExecResult, tail: Tail): CaissonError {
  const { exitCode, signal, reason } = result
  const number = signal === null ? undefined : constants.signals[signal as NodeJS.Signals]
  const how =
    reason === 'exit'
      ? `exit code: ${exitCode}`
      : reason === 'signal'
        ? `ended by ${signal}${number === undefined ? '' : ` (${128 + number})`}`
        : (REASONS[reason] ?? reason)
  const text = tail.text || result.stderr.trim()
  const error = new CaissonError(
    reason === 'aborted' ? 'ERR_CAISSON_ABORTED' : 'ERR_CAISSON_COMMAND_FAILED',
    `${JSON.stringify(args.join(' ').slice(0, 500))} did not complete: ${how}${text === '' ? '' : `\n${text}`}`,
    { stage: 'run', hint: HINTS[reason] ?? 'See what it printed.' },
  )
  return Object.assign(error, { result })
}

const REASONS: Record<string, string> = {
  oom: 'its memory ran out',
  timeout: 'it took too long',
  aborted: 'the build was cancelled',
}
const HINTS: Record<string, string> = {
  oom: 'Give a higher limits.memory.',
  timeout: 'Give a longer stepTimeout.',
  aborted: '',
}
