/** Ports that an image exposes, to be published. */
import { CaissonError, invalidArgument } from '../errors.js'
import type { PortMapping } from './ports.js'

/** Each takes descriptors of ours, and the image says how many there are. */
const EXPOSED_MAX = 1024

interface Asked {
  ports?: readonly PortMapping[]
  publishAllPorts?: boolean | Pick<PortMapping, 'address'>
}

/** `exposed`: as `80/tcp`. What `ports` has of them already is published there alone, as Docker does it. */
export function withExposed(
  { ports, publishAllPorts }: Asked,
  exposed: Readonly<Record<string, unknown>> = {},
): readonly PortMapping[] | undefined {
  if (!publishAllPorts) return ports
  const { address, ...more } = publishAllPorts === true ? {} : publishAllPorts
  for (const key in more) throw invalidArgument('publishAllPorts', key, 'true, false or { address }')
  const all = Object.keys(exposed)
  if (all.length > EXPOSED_MAX) throw cannot(`the image exposes ${all.length} ports, and ${EXPOSED_MAX} is the limit`)
  const given = Array.isArray(ports) ? ports : []
  const taken = new Set(given.map(({ container, protocol = 'tcp' }) => `${container}/${protocol}`))
  const rest = all.map(portOf).filter(({ container, protocol }) => !taken.has(`${container}/${protocol}`))
  return [...given, ...rest.map((port) => ({ ...port, ...(address === undefined ? {} : { address }) }))]
}

function portOf(text: string): { container: number; protocol: 'tcp' | 'udp' } {
  const [, digits, protocol = 'tcp'] = /^(\d{1,5})(?:\/(tcp|udp))?$/.exec(text) ?? []
  const container = Number(digits)
  if (!(container >= 1 && container <= 65535)) throw cannot(`the image exposes ${JSON.stringify(text.slice(0, 50))}`)
  return { container, protocol: protocol as 'tcp' | 'udp' }
}

function cannot(why: string): CaissonError {
  return new CaissonError('ERR_CAISSON_INVALID_ARGUMENT', `publishAllPorts: ${why}`, {
    stage: 'options',
    hint: 'Publish the ports that are needed with "ports"; there are tcp and udp.',
  })
}
