/** Values of the Engine API, as dockerd takes and refuses them (moby's own tests). */
import { parseBind } from '../../../lib/engine/bind.js'
import { ApiError } from '../../../lib/engine/failure.js'
import { Filters } from '../../../lib/engine/filters.js'
import { type ModeName, parseMode, parseNetworkMode } from '../../../lib/engine/modes.js'
import { bounded, exposedIn, parseBindings, portsOf } from '../../../lib/engine/port-bindings.js'
import { registryAuth } from '../../../lib/engine/registry-auth.js'
import { parseRestartPolicy } from '../../../lib/engine/restart-policy.js'
import { cases, casesOf } from '../../support/cases.js'

const TABLE = 'engine-api-values'

function refusal(work: () => unknown): string | undefined {
  try {
    work()
    return undefined
  } catch (error) {
    if (error instanceof ApiError) return error.message
    return `${(error as Error).message}`
  }
}

cases(TABLE, () => {
  test.each(casesOf<string>(TABLE, 'bind-spec-valid'))('the bind %s is taken', (bind) => {
    expect(refusal(() => parseBind(bind))).toBeUndefined()
  })

  test.each(casesOf<[string, string]>(TABLE, 'bind-spec-invalid'))('the bind %j is refused: %s', (bind, why) => {
    expect(refusal(() => parseBind(bind))).toContain(why)
  })

  interface Split {
    bind: string
    expErr?: string
    expected?: { Source?: string; Name?: string; Destination: string; RW: boolean; Type: string; Propagation: string }
  }
  test.each(casesOf<Split>(TABLE, 'bind-spec-split'))('$bind', ({ bind, expErr, expected }) => {
    if (expErr !== undefined) return expect(refusal(() => parseBind(bind))).toContain(expErr)
    const { type, source, target, readOnly = false } = parseBind(bind)
    expect({ type, source, target, readOnly }).toEqual({
      type: expected?.Type === 'TypeBind' ? 'bind' : 'volume',
      source: expected?.Source ?? expected?.Name,
      target: expected?.Destination,
      readOnly: !expected?.RW,
    })
  })

  const MODES: Array<[set: string, name: ModeName]> = [
    ['TestPidMode', 'PidMode'],
    ['TestUTSMode', 'UTSMode'],
    ['TestUsernsMode', 'UsernsMode'],
    ['TestCgroupnsMode', 'CgroupnsMode'],
    ['TestIpcMode', 'IpcMode'],
  ]
  interface ModeCase {
    valid: boolean
    host?: boolean
    container?: boolean
    ctrName?: string
  }
  // A container without a name is none: dockerd finds that out later.
  const modes = MODES.flatMap(([set, name]) =>
    casesOf<[string, ModeCase]>(TABLE, set)
      .filter(([text]) => text !== 'container:')
      .map(([text, expected]) => ({ name, text, expected })),
  )
  test.each(modes)('$name $text', ({ name, text, expected }) => {
    const { valid, host, container, ctrName } = expected
    expect(refusal(() => parseMode(name, text)) === undefined).toBe(valid)
    if (!valid) return
    const mode = parseMode(name, text)
    expect(mode === 'host').toBe(host ?? false)
    if (container) expect(mode).toEqual({ container: ctrName })
  })

  const networks = casesOf<[string, ModeCase & { name: string; isDefault?: boolean; none?: boolean }]>(
    TABLE,
    'TestNetworkMode',
  ).filter(([text]) => text !== 'container:')
  test.each(networks)('NetworkMode %j', (text, { host, none, container, ctrName, name, isDefault }) => {
    const mode = parseNetworkMode(text)
    if (host || none) return expect(mode).toBe(name)
    if (container) return expect(mode).toEqual({ container: ctrName })
    return expect(mode).toEqual({ network: isDefault || name === '' ? 'bridge' : name })
  })

  interface Policy {
    name: string
    input: { Name?: string; MaximumRetryCount?: number }
    expectedErr?: string
  }
  test.each(casesOf<Policy>(TABLE, 'ValidateRestartPolicy'))('restart policy: $name', ({ input, expectedErr }) => {
    expect(refusal(() => parseRestartPolicy(input.Name, input.MaximumRetryCount))).toBe(expectedErr || undefined)
  })

  interface AuthCase {
    inputBase64: string
    expected: { Username?: string; Password?: string }
    expectedErr?: string
  }
  test.each(casesOf<AuthCase>(TABLE, 'auth-config-decode'))(
    'X-Registry-Auth: $doc',
    ({ inputBase64, expected, expectedErr }) => {
      if (expectedErr !== undefined) {
        expect(refusal(() => registryAuth(inputBase64))).toContain('invalid X-Registry-Auth header')
        return
      }
      const { Username, Password } = expected
      expect(registryAuth(inputBase64)).toEqual(
        Username === undefined ? undefined : { username: Username, password: Password },
      )
    },
  )

  interface BooleanFilter {
    args: { dangling: string[] }
    defValue: boolean
    expectedErr: object | null
    expectedValue: boolean
  }
  test.each(casesOf<BooleanFilter>(TABLE, 'filters-get-bool'))(
    'a filter that is $name',
    ({ args, defValue, expectedErr, expectedValue }) => {
      const filters = Filters.parse(JSON.stringify(args), ['dangling'])
      if (expectedErr) expect(refusal(() => filters.boolean('dangling', defValue))).toContain('invalid filter')
      else expect(filters.boolean('dangling', defValue)).toBe(expectedValue)
    },
  )

  test.each(casesOf<string>(TABLE, 'filters-invalid-json'))('the filters %s are refused', (text) => {
    expect(refusal(() => Filters.parse(text, ['key', 'a']))).toContain('invalid filter')
  })
})

test('filters of old clients are sets, and a filter that nobody knows is refused', () => {
  const filters = Filters.parse('{"label":{"a=b":true,"c":false}}', ['label'])
  expect(filters.get('label')).toEqual(['a=b'])
  expect(filters.labels({ a: 'b' })).toBe(true)
  expect(filters.labels({ a: 'c' })).toBe(false)
  expect(refusal(() => Filters.parse('{"labels":["a"]}', ['label']))).toContain('labels')
})

test('published ports are told by the port inside', () => {
  const published = {
    container: 80,
    protocol: 'tcp' as const,
    address: '0.0.0.0',
    addresses: ['0.0.0.0', '::'],
    port: 8080,
  }
  expect(portsOf([published], ['81/tcp'])).toEqual({
    '81/tcp': null,
    '80/tcp': [
      { HostIp: '0.0.0.0', HostPort: '8080' },
      { HostIp: '::', HostPort: '8080' },
    ],
  })
})

test('ranges that are short in a body do not become millions of ports', () => {
  const all = '1-65535/tcp'
  expect(parseBindings({ [all]: [] })).toHaveLength(65_535)
  const [one, many] = [{ HostIp: '127.0.0.1' }, Array(1000).fill({ HostIp: '127.0.0.1' })]
  expect(refusal(() => parseBindings({ [all]: [one, one] }))).toContain('too many ports')
  expect(refusal(() => parseBindings({ [all]: many }))).toContain('too many ports')
  const exposed = Array.from({ length: 10_000 }, (_, i) => `${i + 1}-65535/tcp`)
  expect(refusal(() => bounded(exposedIn(exposed)))).toContain('too many ports')
})
