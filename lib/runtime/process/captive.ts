/** Network namespaces for containers with an egress policy. */
import { addon } from '../../native/addon.js'
import type { CaptiveNamespace } from '../../network/egress/network.js'
import { OPTIONAL, Plan } from '../lower/plan.js'
import { NAMESPACES } from '../options/workload.js'
import { duplicate, explained } from './namespaces.js'

const STAGE = 'egress'
const [AF_INET, AF_INET6, AF_NETLINK] = [2, 10, 16]
const [SOCK_STREAM, SOCK_DGRAM, SOCK_RAW] = [1, 2, 3]
const [NETLINK_ROUTE, NETLINK_NETFILTER] = [0, 12]

/**
 * Makes one, and sockets in it. A short-lived process does that, inside of `user` if the namespace is to belong to that:
 * we have all rights over what we made, but may not be able to enter it.
 */
export async function captiveNamespace(user: { readonly fd: number } | undefined): Promise<CaptiveNamespace> {
  const plan = new Plan()
  if (user) plan.add('SETNS', 'namespaces: user', { numbers: [plan.inherit(duplicate(user.fd)), NAMESPACES.user.flag] })
  plan.add('UNSHARE', 'namespaces: net', { numbers: [NAMESPACES.net.flag] })
  const kinds = [
    [AF_NETLINK, SOCK_RAW, NETLINK_ROUTE],
    [AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER],
    [AF_INET, SOCK_DGRAM, 0],
    [AF_INET, SOCK_STREAM, 0],
    [AF_INET, SOCK_STREAM, 0],
    [AF_INET6, SOCK_STREAM, 0],
  ]
  // A kernel may have no IPv6, and then nobody gets out by it.
  for (const numbers of kinds) plan.add('SOCKET', STAGE, { numbers, flags: numbers[0] === AF_INET6 ? OPTIONAL : 0 })
  plan.add('HOLD', STAGE)
  const request = { plan: plan.finish(), inherited: plan.inherited, open: ['ns/net'] }
  const { opened, sockets } = await explained(addon().errand(request), plan.notes)
  const [routes, rules, namesUdp, namesTcp, streams4, streams6] = sockets as [
    number,
    number,
    number,
    number,
    number,
    number,
  ]
  return { fd: opened[0] as number, sockets: { routes, rules, namesUdp, namesTcp, streams4, streams6 } }
}
