/** A container and its networks, once both are there: joined, left, started with it, and asked for its ports. */
import { CaissonError } from '../../errors.js'
import { addon } from '../../native/addon.js'
import type { NetworkDefinition } from '../../network/definition.js'
import type { EndpointOptions } from '../../network/endpoint.js'
import type { PublishedPort } from '../../network/ports.js'
import { openNamespace } from '../process/namespaces.js'
import { startAttachment } from './attachments.js'
import type { RunNetwork } from './life.js'
import type { Parts } from './parts.js'

type Connected = Pick<Parts, 'name' | 'network'>

/** What a run does with them; undefined: it is on none. */
export function runNetwork({ network, place }: Parts): RunNetwork | undefined {
  if (!network) return undefined
  return {
    start: () => startAttachment(network, place.namespaces),
    handedOver: () => network.handedOver(),
    stop: () => network.stop(),
  }
}

/** `pid` null: it does not run, and gets the device when it starts. */
export async function joinNetwork(
  { name, network: attachment }: Connected,
  pid: number | null,
  network: NetworkDefinition,
  options: EndpointOptions,
): Promise<void> {
  if (!attachment)
    throw new CaissonError('ERR_CAISSON_INVALID_STATE', `${name} was created without a network to connect`, {
      stage: 'network',
      hint: 'Create it with { network: "bridge" } or another network.',
    })
  if (pid === null) return attachment.connect(network, options, undefined)
  const netns = await openNamespace(`/proc/${pid}/ns/net`)
  try {
    await attachment.connect(network, options, netns.fd)
  } finally {
    addon().closeFd(netns.fd)
  }
}

export async function leaveNetwork(
  { name, network: attachment }: Connected,
  network: NetworkDefinition,
): Promise<void> {
  if (await attachment?.disconnect(network)) return
  throw new CaissonError('ERR_CAISSON_INVALID_STATE', `${name} is not on network ${network.name}`, {
    stage: 'network',
    hint: 'container.inspect() tells which networks it is on.',
  })
}

/** Where the host answers for a port of it. */
export function publishedPort({ name, network }: Connected, container: number, protocol: 'tcp' | 'udp'): PublishedPort {
  const ports = network?.publications.ports ?? []
  const found = ports.find((each) => each.container === container && each.protocol === protocol)
  if (found) return found
  throw new CaissonError('ERR_CAISSON_INVALID_STATE', `port ${container}/${protocol} of ${name} is not published`, {
    stage: 'ports',
    hint: 'Create the container with { ports: [{ container }] }, and start it; connect(port) needs neither.',
  })
}
