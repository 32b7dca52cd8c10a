/** What docker's run has and ours has not, with what to do instead. */
import type { Flags } from './flags.js'
import { usageError } from './usage.js'

const WINDOWS = 'That is for Windows.'
const REALTIME = 'Realtime scheduling is not there; give --cpus or --cpu-shares.'

/** To share namespaces with another container takes one process that has both. */
export const OF_ANOTHER =
  'Put both on one network, write a compose file (network_mode: service:NAME), or use Group.create() in a program.'

/** By name; whatever the value, it is an error. */
export const RUN_REFUSED: Readonly<Record<string, string>> = {
  annotation: 'Give --label.',
  'cgroup-parent': 'Containers have cgroups below that of the process; start that in the cgroup that is wanted.',
  'cpu-count': WINDOWS,
  'cpu-percent': WINDOWS,
  'cpu-rt-period': REALTIME,
  'cpu-rt-runtime': REALTIME,
  'device-cgroup-rule': 'Give --device for each device.',
  gpus: 'Give --device for each of its devices, and -v for the libraries of its driver.',
  'io-maxbandwidth': WINDOWS,
  'io-maxiops': WINDOWS,
  isolation: WINDOWS,
  'kernel-memory': 'The kernel has no such limit any more; --memory counts its memory too.',
  link: 'Put both on one network with --network; names are found there, more of them with --network-alias.',
  'link-local-ip': 'Give --ip or --ip6.',
  'oom-kill-disable': 'A program without memory would wait for ever; give --oom-score-adj.',
  runtime: 'There is one runtime.',
  'use-api-socket': 'There is no socket.',
  'volumes-from': 'Mount the same volumes by their names (-v NAME:/PATH), or write a compose file (volumes_from).',
}

const DRIVERS = ['none', 'local', 'json-file']

/** What can be asked for only in one way, as containers of the command line are gone at their end. */
export function checkKept(flags: Flags): void {
  if (flags.boolean('rm') === false)
    throw usageError('--rm=false: a container of "caisson run" is always removed', 'Leave --rm out.')
  if (flags.boolean('detach'))
    throw usageError(
      '--detach: a container of "caisson run" ends with it',
      'Run it in the background of a shell (&), write a compose file, or use Container.create() in a program.',
    )
  if (flags.text('detach-keys'))
    throw usageError(
      '--detach-keys: a container of "caisson run" ends with it',
      'Leave it out: all keys are those of the program.',
    )
  const restart = flags.text('restart') ?? 'no'
  if (restart !== 'no' && restart !== '')
    throw usageError(
      `--restart ${restart}: a container of "caisson run" is removed at its end`,
      'Leave it out; compose files and Container.create() have restart policies.',
    )
  const driver = flags.text('log-driver') ?? 'none'
  if (!DRIVERS.includes(driver))
    throw usageError(
      `--log-driver: there is no driver ${JSON.stringify(driver)}`,
      'Leave it out, and pipe what "caisson run" prints to whoever shall have it.',
    )
  const volumes = flags.text('volume-driver') ?? 'local'
  if (volumes !== 'local')
    throw usageError(
      `--volume-driver: there is no driver ${JSON.stringify(volumes)}`,
      'There are volumes of this machine only.',
    )
  if (flags.boolean('disable-content-trust') === false)
    throw usageError(
      '--disable-content-trust=false: signatures are not looked at',
      'Name the image by its digest: NAME@sha256:...',
    )
}
