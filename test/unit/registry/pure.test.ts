import fc from 'fast-check'
import { addressKind, mayLeadTo } from '../../../lib/registry/address.js'
import { findAuth, parseAuthFile } from '../../../lib/registry/auth-file.js'
import { parseChallenges } from '../../../lib/registry/challenge.js'
import { retryAfterMs, statusError } from '../../../lib/registry/failure.js'
import { proxyFor } from '../../../lib/registry/proxy.js'
import { printable, redactUrl } from '../../../lib/registry/redact.js'
import { parseToken } from '../../../lib/registry/token.js'

describe('challenges', () => {
  test('several in one header, in several, and words without parameters', () => {
    const schemes = (header: string | string[]) => parseChallenges(header).map(({ scheme }) => scheme)
    expect(schemes('Basic realm="a, b", Bearer realm="https://t/",service=s')).toEqual(['basic', 'bearer'])
    expect(schemes(['Negotiate', 'Negotiate abc==, Basic realm="x"'])).toEqual(['negotiate', 'negotiate', 'basic'])
    expect(schemes('NTLM, Basic realm="x"')).toEqual(['ntlm', 'basic'])
    expect(parseChallenges('bearer REALM = "https://t/" , Service="s"')[0]?.params).toEqual({
      realm: 'https://t/',
      service: 's',
    })
  })

  test('the first of two realms counts, and names of objects are no danger', () => {
    const [challenge] = parseChallenges('Bearer realm="https://a/",realm="https://b/",__proto__="x",constructor="y"')
    expect(challenge?.params.realm).toBe('https://a/')
    expect(Object.getPrototypeOf({})).toBe(Object.prototype)
  })

  test('whatever comes, it ends and does not throw', () => {
    fc.assert(fc.property(fc.string({ maxLength: 200 }), (text) => Array.isArray(parseChallenges(text))))
    const long = 'Bearer '.concat('a="\\'.repeat(100_000))
    const began = performance.now()
    parseChallenges(long)
    expect(performance.now() - began).toBeLessThan(500)
  })
})

test('kinds of addresses, in whatever way they are written', () => {
  const kinds = (...texts: string[]) => texts.map(addressKind)
  expect(kinds('8.8.8.8', '2606:4700::1111')).toEqual(['public', 'public'])
  expect(kinds('127.0.0.1', '::1', '::ffff:127.0.0.1', '::ffff:7f00:1', '64:ff9b::7f00:1', '2002:7f00:1::')).toEqual(
    new Array(6).fill('loopback'),
  )
  expect(kinds('10.1.2.3', '172.31.0.1', '192.168.1.1', 'fd12::1', '100.64.0.1')).toEqual(new Array(5).fill('private'))
  expect(
    kinds(
      '169.254.169.254',
      '::ffff:169.254.169.254',
      'fe80::1',
      '0.0.0.0',
      '::',
      '224.0.0.1',
      'fd00:ec2::254',
      '168.63.129.16',
      'fd20:ce::254',
      'fd00:42::42',
      'x',
    ),
  ).toEqual(new Array(11).fill('special'))
})

test('a server leads no further in than where it is', () => {
  expect(mayLeadTo('public', 'private')).toBe(false)
  expect(mayLeadTo('private', 'private')).toBe(true)
  expect(mayLeadTo('private', 'loopback')).toBe(false)
  expect(mayLeadTo('loopback', 'public')).toBe(true)
  expect(mayLeadTo('loopback', 'special')).toBe(false)
  expect(mayLeadTo('special', 'special')).toBe(false)
})

describe('proxies', () => {
  const through = (url: string, env: Record<string, string>) => proxyFor(new URL(url), env)?.host
  const env = {
    HTTPS_PROXY: 'proxy.example:3128',
    http_proxy: 'http://other.example:8080',
    NO_PROXY: 'internal.example, .corp.example,*.star.example,10.0.0.0/8,ported.example:5000,[fd00::1],192.168.7.7',
  }

  test('by scheme, in either case', () => {
    expect(through('https://registry.example/', env)).toBe('proxy.example:3128')
    expect(through('http://registry.example/', env)).toBe('other.example:8080')
    expect(through('https://registry.example/', {})).toBeUndefined()
  })

  test.each([
    ['https://internal.example/', false],
    ['https://x.internal.example/', false],
    ['https://notinternal.example/', true],
    ['https://a.corp.example/', false],
    ['https://a.star.example/', false],
    ['https://10.1.2.3/', false],
    ['https://11.1.2.3/', true],
    ['https://ported.example:5000/', false],
    ['https://ported.example/', true],
    ['https://[fd00::1]/', false],
    ['https://192.168.7.7:5000/', false],
    ['https://localhost:5000/', false],
    ['https://127.0.0.1:5000/', false],
    ['https://[::1]:5000/', false],
  ])('%s: %s', (url, proxied) => {
    expect(through(url, env) !== undefined).toBe(proxied)
  })

  test('all by *, and not from a header of CGI', () => {
    expect(through('https://registry.example/', { ...env, NO_PROXY: '*' })).toBeUndefined()
    expect(through('http://registry.example/', { HTTP_PROXY: 'http://evil/', REQUEST_METHOD: 'GET' })).toBeUndefined()
  })

  test('one that is none is an error, without its password', () => {
    const wrong = () => proxyFor(new URL('https://registry.example/'), { HTTPS_PROXY: 'socks5://me:secret@x:1' })
    expect(wrong).toThrow(/HTTPS_PROXY/)
    expect(wrong).not.toThrow(/secret/)
  })
})

describe('files with credentials', () => {
  const find = (auths: object, host: string, repository = 'a/b') =>
    findAuth(parseAuthFile(JSON.stringify({ auths }), 'f'), host, repository)

  test('by host, by address, by the old name of docker.io', () => {
    expect(find({ 'r.example': 1 }, 'r.example')).toBe(1)
    expect(find({ 'https://r.example/v1/': 1 }, 'r.example')).toBe(1)
    expect(find({ 'https://index.docker.io/v1/': 1 }, 'registry-1.docker.io')).toBe(1)
    expect(find({ 'docker.io': 1 }, 'registry-1.docker.io')).toBe(1)
  })

  test('of namespaces the longest', () => {
    const auths = { 'r.example': 1, 'r.example/a': 2, 'r.example/a/b': 3, 'r.example/a/bc': 4 }
    expect(find(auths, 'r.example', 'a/b')).toBe(3)
    expect(find(auths, 'r.example', 'a/bx')).toBe(2)
    expect(find(auths, 'r.example', 'z')).toBe(1)
  })

  test('never for another host', () => {
    const auths = { 'r.example.evil.com': 1, 'r.example:5000': 2, 'xr.example': 3 }
    expect(find(auths, 'r.example')).toBeUndefined()
  })
})

describe('what is said of errors', () => {
  test('no secret, no query, no escape sequence', () => {
    const text = JSON.stringify({ errors: [{ code: 'X', message: 'got Bearer s3cr3t-token \u001b[31m\r\nred' }] })
    const error = statusError(
      { status: 400, url: new URL('https://u:p4ssw0rd@r.example/v2/?sig=s3cr3t-sig'), text },
      'blob',
      ['s3cr3t-token'],
    )
    expect(error.message).not.toMatch(/s3cr3t|p4ssw0rd|\p{Cc}/u)
    expect(error.message).toMatch(/REDACTED/)
  })

  test('redacted addresses never show values', () => {
    const value = fc.stringMatching(/^[a-z]{8,20}$/)
    fc.assert(
      fc.property(value, value, (name, secret) => {
        fc.pre(!name.includes(secret) && name !== 'ns')
        expect(redactUrl(`https://me:${secret}@h.example/p?${name}=${secret}`)).not.toContain(secret)
      }),
    )
    expect(printable('a\u202eb\u0000c')).toBe('a b c')
  })

  test('Retry-After in seconds or as a date', () => {
    expect(retryAfterMs('3')).toBe(3000)
    expect(retryAfterMs('Thu, 01 Jan 1970 00:00:05 GMT', 1000)).toBe(4000)
    expect(retryAfterMs('soon')).toBeUndefined()
    expect(retryAfterMs(undefined)).toBeUndefined()
  })
})

test('tokens: both names, a bounded life, nothing that ends a header', () => {
  const realm = new URL('https://t.example/')
  const parse = (answer: unknown) => parseToken(Buffer.from(JSON.stringify(answer)), realm, 0)
  expect(parse({ token: 'a' })).toEqual({ value: 'a', until: 54_000 })
  expect(parse({ access_token: 'b', expires_in: 300, refresh_token: 'c' })).toEqual({
    value: 'b',
    until: 270_000,
    refreshToken: 'c',
  })
  expect(parse({ token: 'a', expires_in: 1e12 }).until).toBeLessThanOrEqual(86_400_000)
  for (const bad of [{}, { token: '' }, { token: 'a\r\nX: y' }, { token: 7 }, null, 'x'])
    expect(() => parse(bad)).toThrow(expect.objectContaining({ code: 'ERR_CAISSON_REGISTRY' }))
})
