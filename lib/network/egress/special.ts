/** Addresses that are no places on the internet: a name that leads there leads to what is near the host. Pure. */
import { networkInterfaces } from 'node:os'
import { type Address, contains, parseAddress, parseSubnet, type Subnet } from '../addresses.js'

/** The IANA registries of special-purpose addresses (RFC 6890), and multicast. */
const SPECIAL: readonly Subnet[] = [
  ...['0.0.0.0/8', '10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '169.254.0.0/16', '172.16.0.0/12', '192.0.0.0/24'],
  ...['192.0.2.0/24', '192.88.99.0/24', '192.168.0.0/16', '198.18.0.0/15', '198.51.100.0/24', '203.0.113.0/24'],
  ...['224.0.0.0/4', '240.0.0.0/4'],
  // A cloud's service for its machines (Azure) that looks like any other.
  '168.63.129.16/32',
  // With an IPv4 address inside (compatible, NAT64, 6to4, Teredo among 2001::/23), which would be reached through others.
  ...['::/96', '64:ff9b::/96', '64:ff9b:1::/48', '2001::/23', '2002::/16'],
  ...['100::/64', '2001:db8::/32', '3fff::/20', '5f00::/16', 'fc00::/7', 'fe80::/10', 'fec0::/10', 'ff00::/8'],
].map((text) => parseSubnet(text, 'special'))

const MAPPED = parseSubnet('::ffff:0:0/96', 'special')

/** Of an IPv4 address in IPv6's notation, that address. */
export function plainAddress(text: string): Address | undefined {
  const address = parseAddress(text.replace(/%.*$/, ''))
  if (!address || address.family === 4 || !contains(MAPPED, address)) return address
  return { family: 4, value: address.value & 0xffffffffn }
}

export function specialRange(address: Address): Subnet | undefined {
  return SPECIAL.find((range) => contains(range, address))
}

/** Whether an address is one of the host's own, at this moment. */
export function isOfHost(address: Address): boolean {
  return Object.values(networkInterfaces()).some((list = []) =>
    list.some((each) => {
      const own = plainAddress(each.address)
      return own?.family === address.family && own.value === address.value
    }),
  )
}
