/**
 * Configurations of OCI bundles that ask for what would reach the host, or would come to less than they say: runc refuses
 * them, and so do we. They are only loaded here: some, started by a runtime that takes them as they are, end the machine.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { Container } from '../../lib/index.js'
import type { RuntimeSpec } from '../../lib/spec/runtime.js'
import { hostImage } from '../support/attack.js'

let made: Container
let good: string
beforeAll(async () => {
  made = await Container.create(await hostImage(), { command: ['sh', '-c', 'id -u'] })
  good = readFileSync(configFile(), 'utf8')
})
afterAll(() => made.remove())

const configFile = () => path.join(made.inspect().bundle, 'config.json')

/** The configuration of a container of ours, changed. */
async function load(change: (spec: RuntimeSpec & Required<Pick<RuntimeSpec, 'process' | 'linux' | 'mounts'>>) => void) {
  const spec = JSON.parse(good)
  change(spec)
  writeFileSync(configFile(), JSON.stringify(spec))
  return Container.fromBundle(made.inspect().bundle)
}

const PATTERN = readFileSync('/proc/sys/kernel/core_pattern', 'utf8').trim()
const without = (spec: RuntimeSpec, type: string) => spec.linux?.namespaces?.filter((each) => each.type !== type)

test('as it was written it runs', async () => {
  await using container = await load(() => undefined)
  await container.start()
  expect((await container.wait()).stdout).toBe('0\n')
})

type Change = Parameters<typeof load>[0]
const HOSTILE: Array<[string, Change]> = [
  [
    'no mount namespace, so that the root of the host is replaced',
    (spec) => {
      spec.linux.namespaces = without(spec, 'mount')
    },
  ],
  [
    'the mount namespace that we are in',
    (spec) => {
      spec.linux.namespaces = [...(without(spec, 'mount') ?? []), { type: 'mount', path: '/proc/self/ns/mnt' }]
    },
  ],
  [
    'no namespaces at all',
    (spec) => {
      spec.linux.namespaces = []
    },
  ],
  // The same value again, should it be written.
  [
    'a knob of the host',
    (spec) => {
      spec.linux.sysctl = { 'kernel.core_pattern': PATTERN }
    },
  ],
  [
    'a knob of the host, with slashes',
    (spec) => {
      spec.linux.sysctl = { 'kernel/core_pattern': PATTERN }
    },
  ],
  [
    'a knob of a namespace that it shares',
    (spec) => {
      spec.linux.namespaces = without(spec, 'network')
      spec.linux.sysctl = { 'net.ipv4.ip_unprivileged_port_start': '1024' }
    },
  ],
  [
    'the user 4294967295, which is nobody and would be root',
    (spec) => {
      spec.process.user = { uid: 0xffffffff, gid: 0 }
    },
  ],
  [
    'the group 4294967295',
    (spec) => {
      spec.process.user = { uid: 1, gid: 0xffffffff }
    },
  ],
  [
    'half a user',
    (spec) => {
      spec.process.user = { uid: 0.5, gid: 0 }
    },
  ],
  [
    'ids for a user namespace that it has not',
    (spec) => {
      spec.linux.namespaces = without(spec, 'user')
      spec.linux.uidMappings = [{ containerID: 0, hostID: 100000, size: 65536 }]
      spec.linux.gidMappings = [{ containerID: 0, hostID: 100000, size: 65536 }]
    },
  ],
  [
    'ids of groups alone',
    (spec) => {
      spec.linux.namespaces = [...(without(spec, 'user') ?? []), { type: 'user' }]
      spec.linux.uidMappings = []
      spec.linux.gidMappings = [{ containerID: 0, hostID: 100000, size: 65536 }]
    },
  ],
  [
    'ids that overlap',
    (spec) => {
      spec.linux.namespaces = [...(without(spec, 'user') ?? []), { type: 'user' }]
      spec.linux.uidMappings = spec.linux.gidMappings = [
        { containerID: 0, hostID: 100000, size: 10 },
        { containerID: 5, hostID: 200000, size: 10 },
      ]
    },
  ],
  [
    'a bind with a word that it does not know',
    (spec) => {
      spec.mounts.push({ destination: '/mnt', type: 'bind', source: '/', options: ['rbind', 'readonly'] })
    },
  ],
  [
    'a rule for devices that allows by a text',
    (spec) => {
      spec.linux.resources = { devices: [{ allow: 'false' as never, access: 'rwm' }] }
    },
  ],
  [
    'a rule for a device whose number is another’s',
    (spec) => {
      spec.linux.resources = { devices: [{ allow: true, type: 'c', major: 4097, minor: 1, access: 'r' }] }
    },
  ],
  [
    'a device whose number is another’s',
    (spec) => {
      spec.linux.devices = [{ type: 'c', path: '/dev/mem', major: 4097, minor: 1 }]
    },
  ],
  [
    'a size of pages that is a path',
    (spec) => {
      spec.linux.resources = { hugepageLimits: [{ pageSize: '/../../../../../tmp/caisson-hugepages', limit: 1 }] }
    },
  ],
  [
    'a limit that is none',
    (spec) => {
      spec.process.rlimits = [{ type: 'RLIMIT_NOFILE', soft: -2, hard: -2 }]
    },
  ],
  [
    'half a limit',
    (spec) => {
      spec.process.rlimits = [{ type: 'RLIMIT_NOFILE', soft: 10.5, hard: 10.5 }]
    },
  ],
  [
    'hidden paths in other letters, as runc takes them',
    (spec) => {
      Object.assign(spec.linux, { MaskedPaths: spec.linux.maskedPaths, maskedPaths: undefined })
    },
  ],
]
test.each(HOSTILE)('%s is refused', async (_, change) => {
  await expect(load(change)).rejects.toMatchObject({ code: 'ERR_CAISSON_BUNDLE' })
  expect(readFileSync('/proc/sys/kernel/core_pattern', 'utf8').trim()).toBe(PATTERN)
})

test('what is left out is what Go’s programs take it for', async () => {
  await using container = await load((spec) => {
    Object.assign(spec.process, { user: { additionalGids: null } })
    Object.assign(spec.linux, { resources: null })
  })
  await container.start()
  expect((await container.wait()).stdout).toBe('0\n')
})
