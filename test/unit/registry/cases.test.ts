/** Answers of the reference implementations. */
import { findAuth, hostOf, parseAuthEntry, parseAuthFile } from '../../../lib/registry/auth-file.js'
import { parseChallenges } from '../../../lib/registry/challenge.js'
import { canonicalAddress, defaultScheme, isLoopback } from '../../../lib/registry/host.js'
import { checkRealm } from '../../../lib/registry/realm.js'
import { redactUrl } from '../../../lib/registry/redact.js'
import { mergeScopes } from '../../../lib/registry/scopes.js'
import { isRefName } from '../../../lib/spec/ref-name.js'
import { casesOf } from '../../support/cases.js'
import { table } from '../../support/table.js'

const TABLE = 'registry-client'

function each<Case>(set: string, check: (one: Case) => void): void {
  const all = casesOf<Case>(TABLE, set)
  test(`${set}: ${all.length} cases`, () => {
    for (const one of all) check(one)
  })
}

each<{ in: string; scheme: string; params: Record<string, string> }>('www-authenticate', (one) => {
  const [challenge, ...others] = parseChallenges(one.in)
  expect(others).toEqual([])
  expect({ scheme: challenge?.scheme, params: { ...challenge?.params } }).toEqual({
    scheme: one.scheme,
    params: one.params,
  })
})

function realmAllowed(realm: string, registry: string): boolean {
  try {
    checkRealm(realm, { registry: new URL(registry), trusted: new Set() })
    return true
  } catch (error) {
    expect(error).toMatchObject({ code: 'ERR_CAISSON_REGISTRY_UNSAFE' })
    return false
  }
}

each<{ realm: string; wantErr: boolean }>('realm-ssrf-unspecified', ({ realm, wantErr }) => {
  expect([realm, realmAllowed(realm, 'https://registry.example.com')]).toEqual([realm, !wantErr])
})

each<{ name: string; realm: string; registryHost: string; insecure?: boolean; wantErr?: boolean }>(
  'realm-ssrf-same-host',
  ({ name, realm, registryHost, insecure = false, wantErr = false }) => {
    const registry = `${insecure ? 'http' : 'https'}://${registryHost}`
    expect([name, realmAllowed(realm, registry)]).toEqual([name, !wantErr])
  },
)

each<{ scheme: 'http' | 'https'; address: string; want: string }>('canonical-address', ({ scheme, address, want }) => {
  expect(canonicalAddress(scheme, address)).toBe(want)
})

each<{ domain: string; scheme: string }>('registry-scheme', ({ domain, scheme }) => {
  // Stricter than the reference: a private network has others in it, so its registries must be named as insecure.
  const wanted = domain === '10.2.3.4:5000' ? 'https' : scheme
  expect([domain, defaultScheme(domain)]).toEqual([domain, wanted])
})

each<{ host: string; match: boolean }>('match-localhost', ({ host, match }) => {
  expect([host, isLoopback(host)]).toEqual([host, match])
})

interface LogCase {
  doc: string
  request: { path: string; host: { Host: string; Scheme: string } }
  expected: string
}

each<LogCase>('log-sanitize', ({ doc, request: { path, host }, expected }) => {
  expect([doc, redactUrl(`${host.Scheme}://${host.Host}${path}`)]).toEqual([doc, expected])
})

each<{ scopesInCtx: string[]; commonScopes: string[]; expected: string[] }>('token-scopes', (one) => {
  expect(mergeScopes(one.scopesInCtx, one.commonScopes)).toEqual(one.expected)
})

interface AuthCase {
  name: string
  json: string
  want?: { Username: string; Password: string; IdentityToken?: string; RegistryToken?: string }
  err?: string
}

each<AuthCase>('auth-config-json', ({ name, json, want, err }) => {
  const parse = () => parseAuthEntry(JSON.parse(json), 'config.json')
  if (err !== undefined) {
    expect(parse).toThrow(expect.objectContaining({ code: 'ERR_CAISSON_REGISTRY_CONFIG' }))
    return
  }
  expect([name, parse()]).toEqual([
    name,
    {
      username: want?.Username,
      password: want?.Password,
      ...(want?.IdentityToken ? { identityToken: want.IdentityToken } : {}),
      ...(want?.RegistryToken ? { registryToken: want.RegistryToken } : {}),
    },
  ])
})

each<{ refname: string; valid: boolean }>('oci-refname', ({ refname, valid }) => {
  expect([refname, isRefName(refname)]).toEqual([refname, valid])
})

table<{ input: string; expected: string }>('docker-cli-values', 'auth-hostname', ({ input, expected }) => {
  expect(hostOf(input)).toBe(expected)
  // No registry has the name of a scheme.
  if (expected === 'unix:') return
  const file = parseAuthFile(JSON.stringify({ auths: { [input]: { auth: 'x' } } }), 'config.json')
  expect(findAuth(file, expected, 'a/b')).toEqual({ auth: 'x' })
})
