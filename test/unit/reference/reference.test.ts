import fc from 'fast-check'
import {
  familiarName,
  familiarReference,
  formatName,
  formatReference,
  matchesReference,
} from '../../../lib/reference/format.js'
import { DOMAIN, IDENTIFIER, NAME, REFERENCE } from '../../../lib/reference/grammar.js'
import { parseName, parseReference } from '../../../lib/reference/parse.js'
import { casesOf } from '../../support/cases.js'

interface Parsed {
  input: string
  domain?: string
  repository?: string
  path?: string
  tag?: string
  digest?: string
  err?: string
}

/** Of a reference that has not been normalised: what the grammar alone says. */
test.each(casesOf<Parsed>('reference', 'TestReferenceParse'))('the grammar on $input', (known) => {
  const match = REFERENCE.exec(known.input)
  // sha512 is no error here: that test runs without Go's package for it.
  const isLong = known.input.includes('@sha512:')
  if (known.err && !isLong) {
    expect(() => parseReference(known.input)).toThrow(/image/)
    return
  }
  const [, domain, path, tag, digest] = match as RegExpExecArray
  if (isLong) return
  expect({ domain: domain ?? '', repository: domain ? `${domain}/${path}` : path, tag, digest }).toEqual({
    domain: known.domain ?? '',
    repository: known.repository,
    tag: known.tag,
    digest: known.digest,
  })
})

test('errors say what is wrong', () => {
  const long = 'a/'.repeat(140)
  const words: Array<[string, RegExp]> = [
    ['', /empty/],
    ['Alpine:3.20', /lower case: library\/alpine|upper-case/],
    ['docker.io/team/App', /upper-case/],
    [`${long}a`, /longer than 255/],
    ['a'.repeat(2000), /longer than 1024/],
    ['a'.repeat(64), /id/],
    ['alpine@sha256:abc', /form/],
    [`alpine@sha256:${'a'.repeat(40)}`, /digits/],
    [`alpine@md5:${'a'.repeat(32)}`, /algorithm/],
    ['alpine:', /form/],
  ]
  for (const [text, message] of words) expect(() => parseReference(text)).toThrow(message)
})

test.each(casesOf<string>('reference', 'validRepoNames'))('%s is a name', (name) => {
  expect(parseName(name).repository).not.toBe('')
})
test.each(casesOf<string>('reference', 'invalidRepoNames'))('%s is none', (name) => {
  expect(() => parseName(name)).toThrow(/image/)
})
test.each(casesOf<string>('reference', 'validRemoteNames'))('%s is a name', (name) => {
  expect(formatName(parseName(name))).toBe(`docker.io/${name.includes('/') ? '' : 'library/'}${name}`)
})
test.each(casesOf<string>('reference', 'invalidRemoteNames'))('%s is none', (name) => {
  expect(() => parseName(name)).toThrow(/image/)
})
test.each(casesOf<Parsed>('reference', 'TestWithNameFailure'))(
  '"$input" is not the name of a repository',
  ({ input, err }) => {
    // The grammar allows a path of 255 characters and more; parseName counts them.
    if (err?.includes('255')) expect(() => parseName(input)).toThrow(/255/)
    else expect(NAME.test(input)).toBe(false)
  },
)

test.each(casesOf<Parsed>('reference', 'TestDomainAndPath'))('domain and path of $input', ({ input, domain, path }) => {
  const match = NAME.exec(input) as RegExpExecArray
  expect([match[1] ?? '', match[2]]).toEqual([domain, path])
})

test.each(casesOf<Parsed>('reference', 'TestNormalizedSplitHostname'))('$input in full', ({ input, domain, path }) => {
  expect(parseName(input)).toEqual({ registry: domain, repository: path })
})

test.each(casesOf<Parsed>('reference', 'TestParseNamed'))(
  '$input is canonical or not',
  ({ input, err, domain, path }) => {
    const name = parseName(input)
    expect(formatName(name) === input).toBe(err === undefined)
    if (err === undefined) expect(name).toEqual({ registry: domain, repository: path })
  },
)

interface Info {
  RemoteName: string
  FamiliarName: string
  FullName: string
  AmbiguousName: string
  Domain: string
}
test.each(casesOf<Info>('reference', 'TestParseRepositoryInfo'))('forms of $FullName', (info) => {
  for (const text of [info.FamiliarName, info.FullName, info.AmbiguousName]) {
    if (text === '') continue
    const name = parseName(text)
    expect(name).toEqual({ registry: info.Domain, repository: info.RemoteName })
    expect([formatName(name), familiarName(name)]).toEqual([info.FullName, info.FamiliarName])
  }
})

interface Any {
  Reference: string
  Equivalent: string
}
test.each(casesOf<Any>('reference', 'TestParseAnyReference'))('$Reference', ({ Reference, Equivalent }) => {
  // Ids are images' own business: as names they are refused.
  if (Equivalent.startsWith('sha256:')) {
    if (IDENTIFIER.test(Reference)) expect(() => parseName(Reference)).toThrow(/id/)
    return
  }
  expect(formatReference(parseName(Reference))).toBe(Equivalent)
})

interface DockerRef {
  name: string
  input: string
  expected: string
}
test.each(casesOf<DockerRef>('reference', 'TestParseDockerRef'))('$name: $input', ({ input, expected }) => {
  const { tag, ...reference } = parseReference(input)
  // The tag stays beside a digest here; what is fetched is the digest's.
  expect(formatReference(reference.digest || tag === undefined ? reference : { ...reference, tag })).toBe(expected)
})

interface Match {
  reference: string
  pattern: string
  expected: boolean
}
test.each(casesOf<Match>('reference', 'TestMatch'))('$reference and the pattern $pattern', (known) => {
  expect(matchesReference(parseName(known.reference), known.pattern)).toBe(known.expected)
})

interface Grammar {
  input: string
  match: boolean
  subs?: string[]
}
test.each(casesOf<Grammar>('reference', 'TestDomainRegexp'))('domain $input', ({ input, match }) => {
  expect(DOMAIN.test(input)).toBe(match)
})
test.each(casesOf<Grammar>('reference', 'TestFullNameRegexp'))('name "$input"', ({ input, match, subs }) => {
  const found = NAME.exec(input)
  expect(found !== null).toBe(match)
  if (subs) expect(found?.slice(1).map((part) => part ?? '')).toEqual(subs)
})
test.each(casesOf<Grammar>('reference', 'TestReferenceRegexp'))('reference $input', ({ input, match, subs }) => {
  const found = REFERENCE.exec(input)
  expect(found !== null).toBe(match)
  if (!found || !subs) return
  const [, domain, path, tag = '', digest = ''] = found
  expect([domain ? `${domain}/${path}` : path, tag, digest]).toEqual(subs)
})
test.each(casesOf<Grammar>('reference', 'TestIdentifierRegexp'))('id $input', ({ input, match }) => {
  expect(IDENTIFIER.test(input)).toBe(match)
})

interface With {
  name: string
  tag?: string
  digest?: string
  combined: string
}
const withParts = [...casesOf<With>('reference', 'TestWithTag'), ...casesOf<With>('reference', 'TestWithDigest')]
test.each(withParts)('$combined', ({ name, tag, digest, combined }) => {
  const written = formatReference({ ...parseName(name), tag, digest })
  expect(written).toBe(name === 'foo' ? combined.replace('foo', 'docker.io/library/foo') : combined)
})

test('defaults', () => {
  expect(parseReference('alpine')).toEqual({ registry: 'docker.io', repository: 'library/alpine', tag: 'latest' })
  const digest = `sha512:${'a'.repeat(128)}`
  expect(parseReference(`localhost:5000/a:b@${digest}`)).toEqual({
    registry: 'localhost:5000',
    repository: 'a',
    tag: 'b',
    digest,
  })
  expect(parseReference(`alpine@${digest}`)).toEqual({ registry: 'docker.io', repository: 'library/alpine', digest })
})

test('what is written is read as the same, short or in full', () => {
  const component = fc.stringMatching(/^[a-z0-9]{1,6}((\.|_|__|-{1,3})[a-z0-9]{1,6}){0,2}$/)
  const registry = fc.oneof(
    fc.constant('docker.io'),
    fc.constant('localhost'),
    fc.stringMatching(/^[a-z0-9]{1,8}\.[a-z]{2,3}(:[0-9]{1,5})?$/),
    fc.constant('[fc00::1]:5000'),
  )
  const parts = fc.oneof(fc.array(component, { minLength: 1, maxLength: 4 }), fc.constant(['library', 'a'.repeat(64)]))
  fc.assert(
    fc.property(
      registry,
      parts,
      fc.option(fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}$/)),
      (host, path, tag) => {
        const repository = host === 'docker.io' && path.length === 1 ? `library/${path[0]}` : path.join('/')
        const reference = { registry: host, repository, tag: tag ?? 'latest' }
        expect(parseReference(formatReference(reference))).toEqual(reference)
        expect(parseReference(familiarReference(reference))).toEqual(reference)
        expect(parseReference(familiarName(reference))).toEqual({ ...reference, tag: 'latest' })
      },
    ),
  )
})

test('no text makes it hang or fail otherwise than with a coded error', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string({ maxLength: 2000 }), fc.stringMatching(/^[a-z0-9._:@/-]*$/)), (text) => {
      try {
        parseReference(text)
      } catch (error) {
        expect(error).toMatchObject({ code: 'ERR_CAISSON_INVALID_ARGUMENT' })
      }
    }),
  )
})
