/** Values of flags against docker's own tables. */
import { parseFlags } from '../../../lib/cli/flags.js'
import { parseMountFields, parseVolume } from '../../../lib/cli/mount-values.js'
import { type NetworkValue, networkOptions, parseNetwork } from '../../../lib/cli/network-values.js'
import { parseExposed, parsePublish } from '../../../lib/cli/port-values.js'
import { RUN_FLAGS, runOptions } from '../../../lib/cli/run-flags.js'
import { systemPaths } from '../../../lib/cli/security-values.js'
import {
  parseDevice,
  parseDnsSearch,
  parseEnv,
  parseHost,
  parseLabel,
  parseRate,
  parseUlimit,
  parseWeight,
} from '../../../lib/cli/values.js'
import { chooseCapabilities, normalizeCapability } from '../../../lib/spec/capabilities.js'
import { resourceNumber } from '../../../lib/spec/rlimits.js'
import { parseSize } from '../../../lib/util/units.js'
import { casesOf, missingCases } from '../../support/cases.js'

/** A test for each case; where there are no cases, one that says so. */
function table<Case>(set: string, check: (given: Case) => void, applies: (given: Case) => boolean = () => true): void {
  describe(set, () => {
    if (missingCases) {
      test(`no cases here (${missingCases})`, () => expect(missingCases).toBeDefined())
      return
    }
    const cases = casesOf<Case>('docker-cli-values', set).filter(applies)
    test.each(cases.map((each) => [JSON.stringify(each), each] as const))('%s', (_, each) => check(each))
  })
}

/** The value, or undefined when it is refused. */
function attempt<T>(work: () => T): T | undefined {
  try {
    return work()
  } catch (error) {
    expect(error).toMatchObject({ code: 'ERR_CAISSON_INVALID_ARGUMENT' })
    expect((error as { hint: string }).hint).not.toBe('')
    return undefined
  }
}

table<{ value: string; expected?: string; expectedErr?: string }>('env', ({ value, expected, expectedErr }) => {
  const own = { PATH: '<value of PATH in the caller environment>' }
  const pair = attempt(() => parseEnv(value, own))
  expect(pair?.filter((part) => part !== undefined).join('=')).toBe(expectedErr ? undefined : expected)
})

table<{ value?: string; expectedErr?: string }>('label', ({ value = '', expectedErr }) => {
  const pair = attempt(() => parseLabel(value))
  if (expectedErr) expect(pair).toBeUndefined()
  else expect(value.trimStart().startsWith(pair?.[0] ?? '?')).toBe(true)
})

table<{ input: string; expectedOut?: string; expectedErr?: string }>('extra-hosts', (given) => {
  const host = attempt(() => parseHost(given.input))
  expect(host && `${host.name}:${host.address}`).toBe(
    given.expectedErr ? undefined : (given.expectedOut ?? given.input),
  )
})

interface DeviceCase {
  devices: string[]
  deviceMapping: { PathOnHost: string; PathInContainer: string; CgroupPermissions: string } | null
}
table<DeviceCase>('device', ({ devices, deviceMapping }) => {
  // A CDI name is refused, not passed on.
  const parsed = devices.map((device) => attempt(() => parseDevice(device))).find((device) => device !== undefined)
  expect(parsed).toEqual(
    deviceMapping
      ? {
          source: deviceMapping.PathOnHost,
          target: deviceMapping.PathInContainer,
          access: deviceMapping.CgroupPermissions,
        }
      : undefined,
  )
})
table<string>('device-valid', (value) => expect(attempt(() => parseDevice(value))).toBeDefined())
table<[string, string]>('device-invalid', ([value]) => expect(attempt(() => parseDevice(value))).toBeUndefined())

interface UlimitCase {
  in: string
  expected: { Name: string; Soft: number; Hard: number }
}
table<UlimitCase>('ulimit-unlimited', ({ in: value, expected }) =>
  expect(attempt(() => parseUlimit(value))).toEqual([expected.Name, { soft: expected.Soft, hard: expected.Hard }]),
)
table<{ ulimit: { Name: string }; rlimit: { Type: number } }>('ulimit-rlimit', ({ ulimit, rlimit }) =>
  expect(resourceNumber(ulimit.Name)).toBe(rlimit.Type),
)

table<{ value?: string }>('mount-errors', ({ value = '' }) =>
  expect(attempt(() => parseMountFields(value))).toBeUndefined(),
)
table<{ value: string; exp?: boolean; expErr?: string }>('mount-readonly', ({ value, exp, expErr }) => {
  const text = ['type=bind,source=/foo,target=/foo', value].filter((part) => part !== '').join(',')
  const fields = attempt(() => parseMountFields(text))
  expect(fields && (fields.readOnly ?? false)).toBe(expErr ? undefined : exp)
})

interface VolumeCase {
  value: string
  exp: {
    Target: string
    VolumeOptions: {
      Labels?: Record<string, string>
      DriverConfig?: { Name?: string; Options?: Record<string, string> }
    }
  }
}
table<VolumeCase>('mount-volume-options', ({ value, exp }) => {
  const { Labels = {}, DriverConfig = {} } = exp.VolumeOptions
  expect(attempt(() => parseMountFields(value))).toEqual({
    type: 'volume',
    target: exp.Target,
    volume: { labels: Labels, options: DriverConfig.Options ?? {}, driver: DriverConfig.Name },
  })
})

interface RateCase {
  input: string
  expectedPath?: string
  expectedRate?: number
}
for (const [set, whole] of [
  ['throttle-bps', false],
  ['throttle-iops', true],
] as const)
  table<RateCase>(set, ({ input, expectedPath, expectedRate }) => {
    const parsed = attempt(() => parseRate(input, '--device-read', whole))
    expect(parsed && [parsed.path, parseSize(parsed.rate, 'rate')]).toEqual(
      expectedPath === undefined ? undefined : [expectedPath, expectedRate],
    )
  })

interface WeightCase {
  input: string
  expectedPath?: string
  expectedWeight?: number
}
table<WeightCase>('weight-device', ({ input, expectedPath, expectedWeight }) =>
  expect(attempt(() => parseWeight(input))).toEqual(
    expectedPath === undefined ? undefined : { path: expectedPath, weight: expectedWeight },
  ),
)

table<{ in: string[]; out: string[]; masked?: string[]; readonly?: string[] }>('system-paths', (given) => {
  const { rest, masked, readonly } = systemPaths(given.in)
  expect({ rest, masked, readonly }).toEqual({ rest: given.out, masked: given.masked, readonly: given.readonly })
})

/** The tables name capabilities that do not exist, which caisson refuses: here they stand for real ones. */
const real = (text: string) =>
  text.replace(/\b(CAP_)?(foo|one|two|three)$/i, (_, prefix = '', name: string) => {
    const names: Record<string, string> = { foo: 'CHOWN', one: 'SYS_ADMIN', two: 'NET_ADMIN', three: 'KILL' }
    return prefix + (names[name.toLowerCase()] as string)
  })

table<{ in: string; out: string }>('capabilities-normalize', ({ in: given, out }) => {
  const known = out === 'ALL' || out === 'CAP_FOO'
  const text = given.replace(/foo/i, (name) => (name === 'FOO' ? 'CHOWN' : 'cHoWn'))
  expect(attempt(() => normalizeCapability(known ? text : given))).toBe(known ? out.replace('FOO', 'CHOWN') : undefined)
})

interface CapabilityCase {
  in: { add?: string[]; drop?: string[] }
  out: { add?: string[]; drop?: string[] }
}
table<CapabilityCase>('capabilities-add-drop', ({ in: given, out }) => {
  const chosen = (lists: CapabilityCase['in']) => chooseCapabilities(lists.add?.map(real), lists.drop?.map(real))
  expect(chosen(given)).toEqual(chosen(out))
})

interface SplitCase {
  input: string
  n: number
  expected: string[] | null
}
/** Docker also knows drives of Windows, which no path of ours begins with. */
const isLinux = ({ input }: SplitCase) => !/(^|:)[A-Za-z]:|\\/.test(input) && input !== '.'
table<SplitCase>(
  'volume-split',
  ({ input, n, expected }) => {
    const mount = attempt(() => parseVolume(input))
    // Split into two at most, the rest is the target's; we always split into three.
    const [source, target] = n === 2 ? input.split(':') : (expected ?? [])
    expect([mount?.source, mount?.target]).toEqual(expected ? [source, target] : [undefined, undefined])
  },
  isLinux,
)

table<string>('dns-search-valid', (domain) => expect(attempt(() => parseDnsSearch(domain))).toBe(domain))
table<string>('dns-search-invalid', (domain) => expect(attempt(() => parseDnsSearch(domain))).toBeUndefined())

/** --restart: containers of the command line are removed at their end. */
table<{ input: string }>('restart-policy', ({ input }) => {
  const given = attempt(() => runOptions(parseFlags(RUN_FLAGS, ['--restart', input, 'image']).flags))
  expect(given).toEqual(input === '' || input === 'no' ? {} : undefined)
})

interface NetworkCase {
  value: string
  expected: Array<{
    Target: string
    Aliases: string[]
    IPv4Address?: string
    IPv6Address?: string
    MacAddress?: string
    DriverOpts?: object
    LinkLocalIPs?: string[]
    GwPriority?: number
  }>
}
table<NetworkCase>('network', ({ value, expected: [known] }) => {
  const { Target, Aliases, IPv4Address, IPv6Address, MacAddress, ...foreign } = known as NetworkCase['expected'][0]
  const parsed = attempt(() => parseNetwork(value))
  // What our networks do not have is refused, not dropped.
  if (Object.keys(foreign).length > 0) expect(parsed).toBeUndefined()
  else
    expect({ aliases: [], ...parsed }).toEqual({
      network: Target,
      aliases: Aliases,
      ...(IPv4Address ? { ipv4: IPv4Address } : {}),
      ...(IPv6Address ? { ipv6: IPv6Address } : {}),
      ...(MacAddress ? { mac: MacAddress } : {}),
    })
})

interface NetworksCase {
  flags: string[]
  expected?: Record<
    string,
    { Aliases?: string[]; MacAddress?: string; IPAMConfig?: { IPv4Address?: string; IPv6Address?: string } }
  >
  expectedHostCfg?: { NetworkMode: string }
  expectedErr?: string
}
const FOREIGN = /link|driver-opt/
table<NetworksCase>('network-config', ({ flags, expected, expectedHostCfg }) => {
  const given = attempt(() => runOptions(parseFlags(RUN_FLAGS, [...flags, 'image']).flags))
  if (!expected || flags.some((flag) => FOREIGN.test(flag))) {
    expect(given).toBeUndefined()
    return
  }
  const wanted = Object.entries(expected).map(([network, { Aliases, MacAddress, IPAMConfig = {} }]) => ({
    network,
    ...(Aliases ? { aliases: Aliases } : {}),
    ...(MacAddress ? { mac: MacAddress } : {}),
    ...(IPAMConfig.IPv4Address ? { ipv4: IPAMConfig.IPv4Address } : {}),
    ...(IPAMConfig.IPv6Address ? { ipv6: IPAMConfig.IPv6Address } : {}),
  }))
  if (wanted.length === 0) expect(given).toEqual({ network: expectedHostCfg?.NetworkMode })
  else expect(given).toEqual({ networks: wanted })
})

test('networks that are none go with no others', () => {
  const values = (...names: string[]) => names.map((network): NetworkValue => ({ network }))
  expect(networkOptions(values('host'), {})).toEqual({ network: 'host' })
  for (const names of [
    ['host', 'a'],
    ['a', 'none'],
    ['a', 'a'],
  ])
    expect(attempt(() => networkOptions(values(...names), {}))).toBeUndefined()
  expect(attempt(() => networkOptions(values('host'), { ipv4: '10.0.0.2' }))).toBeUndefined()
})

interface PortCase {
  input?: string
  expPort?: number | string
  expProto?: string
  expBegin?: number
  expEnd?: number
  expErr?: string
}
// A container has no port 0.
table<PortCase>('nat-port', ({ input = '', expPort, expErr }) =>
  expect(attempt(() => parseExposed(input))?.[0]?.container).toBe(expErr || !expPort ? undefined : expPort),
)
table<PortCase>('nat-port-range', ({ input = '', expBegin, expEnd }) => {
  const ports = attempt(() => parseExposed(input))
  expect([ports?.at(0)?.container, ports?.at(-1)?.container]).toEqual([expBegin, expEnd])
})
table<PortCase>('nat-split-proto', ({ input = '', expPort, expProto }) => {
  const ports = attempt(() => parseExposed(input))
  const valid = /^[1-9]\d*(-\d+)?$/.test(String(expPort)) && /^(tcp|udp)$/i.test(expProto ?? '')
  expect(ports && [String(ports[0]?.container), ports[0]?.protocol]).toEqual(
    valid ? [String(expPort).split('-')[0], expProto?.toLowerCase()] : undefined,
  )
})

interface PublishCase {
  spec: string
  expected: Array<{ Port: string; Binding: { HostIP: string; HostPort: string } }>
}
table<PublishCase>('nat-ipv6', ({ spec, expected }) =>
  expect(attempt(() => parsePublish(spec))).toEqual(
    expected.map(({ Port, Binding: { HostIP, HostPort } }) => ({
      container: Number(Port.split('/')[0]),
      protocol: 'tcp',
      address: HostIP,
      ...(HostPort === '' ? {} : { host: Number(HostPort) }),
    })),
  ),
)
table<{ in: string; expected: string }>('nat-stringer', ({ in: given, expected }) => {
  const [{ address = '', host = '', container, protocol } = { container: 0 }] = parsePublish(given)
  const shown = address === '*' ? '' : address.includes(':') ? `[${address}]` : address
  expect(`${shown}:${host}:${container}/${protocol}`).toBe(expected)
})
