/** --network, read by docker's rules (docker/cli opts/network.go): a name, or name=N,alias=A,ip=...; and what goes with it. */
import { isIPv4, isIPv6 } from 'node:net'
import type { EndpointOptions, RunOptions } from '../index.js'
import { splitFields } from './mount-values.js'
import { OF_ANOTHER } from './refused-flags.js'
import { usageError } from './usage.js'

export interface NetworkValue extends EndpointOptions {
  network: string
}

const HINT = 'Write --network NAME, or --network name=NAME,alias=OTHER,ip=10.1.2.3,ip6=fd00::3,mac-address=02:...'

function wrong(message: string): Error {
  return usageError(`--network: ${message}`, HINT)
}

export function parseNetwork(text: string): NetworkValue {
  if (!text.includes('=')) {
    if (text === '') throw wrong('there is no name')
    if (text.startsWith('container:'))
      throw usageError(`--network: ${text}: the network of another container is not to be had`, OF_ANOTHER)
    return { network: text }
  }
  const aliases: string[] = []
  const value: NetworkValue = { network: '' }
  for (const field of splitFields(text, wrong)) {
    const equals = field.indexOf('=')
    const key = field.slice(0, Math.max(equals, 0)).trim().toLowerCase()
    const given = field.slice(equals + 1).trim()
    if (key === '') throw wrong(`${JSON.stringify(field)} has no name or no value`)
    if (key === 'name') value.network = given
    else if (key === 'alias') aliases.push(given)
    else if (key === 'ip' && isIPv4(given)) value.ipv4 = given
    else if (key === 'ip6' && isIPv6(given)) value.ipv6 = given
    else if (key === 'mac-address' && /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(given)) value.mac = given
    else if (['ip', 'ip6', 'mac-address'].includes(key)) throw wrong(`${key}: ${given} is not an address`)
    else throw wrong(`there is no option ${key} here`)
  }
  if (value.network === '') throw wrong(`${JSON.stringify(text)} names no network`)
  return aliases.length > 0 ? { ...value, aliases } : value
}

/** What of the names of networks is none that containers could be connected with. */
const ALONE = new Set(['none', 'host'])

/** `single`: of --network-alias, --ip, --ip6 and --mac-address, for the first network. */
export function networkOptions(
  given: readonly NetworkValue[],
  single: EndpointOptions,
): Pick<RunOptions, 'network' | 'networks'> {
  const [first, ...more] = given
  const names = given.map(({ network }) => network)
  const twice = names.find((name, i) => names.indexOf(name) !== i)
  if (twice !== undefined) throw wrong(`${twice} is given twice`)
  const asked = Object.values(single).some((value) => value !== undefined)
  if (!first || (ALONE.has(first.network) && asked)) {
    if (!asked) return {}
    throw usageError('--network-alias, --ip, --ip6 and --mac-address need a network', 'Give --network NAME as well.')
  }
  const alone = names.find((name) => ALONE.has(name))
  if (alone !== undefined && (more.length > 0 || Object.keys(first).length > 1))
    throw wrong(`${alone} goes with no other network, and has no options`)
  for (const key of Object.keys(single) as Array<keyof EndpointOptions>)
    if (single[key] !== undefined && first[key] !== undefined)
      throw wrong(`the ${key} of ${first.network} is given twice`)
  const whole = { ...Object.fromEntries(Object.entries(single).filter(([, value]) => value !== undefined)), ...first }
  if (more.length === 0 && Object.keys(whole).length === 1) return { network: first.network }
  return { networks: [whole, ...more] }
}
