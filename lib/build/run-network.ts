/** What commands are on that ask for no network of their own: outside of this machine they reach everything, in it nothing. */
import type { RunOptions } from '../options.js'
import { refusalOfWorld } from '../runtime/container/attachments.js'
import type { Owner } from '../runtime/process/owner.js'

type Choice = Pick<RunOptions, 'network' | 'egress'>

/** `notice`: what the caller may not expect. */
interface UsualNetwork {
  choice: Choice
  notice?: string
  /** Of commands with all rights, which no policy can hold. */
  insecure: Choice
}

/** The internet and private networks, by TCP; neither the host nor what is near it alone (docs/networks.md). */
const OUTSIDE = {
  allow: ['*', '0.0.0.0/0', '::/0', '10.0.0.0/8', '100.64.0.0/10', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7'],
}

/** `bridge`: makes a network of the build's own. */
export async function usualNetwork(owner: Owner, bridge: () => Promise<RunOptions['network']>): Promise<UsualNetwork> {
  const refusal = owner.ordinary && (await refusalOfWorld(owner))
  if (!refusal) {
    const choice = { network: await bridge() }
    return { choice, insecure: choice }
  }
  const insecure = { network: 'host' as const }
  if (owner.isolation.tier !== 'namespaces') return { choice: insecure, insecure }
  return {
    choice: { egress: OUTSIDE },
    insecure,
    notice: `commands get out of this machine by TCP alone: ${refusal.message}`,
  }
}
