import fc from 'fast-check'
import {
  defaultPlatform,
  formatPlatform,
  normalisePlatform,
  type Platform,
  parsePlatform,
  platformRank,
  rankManifests,
} from '../../../lib/spec/platform.js'
import { casesOf } from '../../support/cases.js'

interface GoPlatform {
  OS: string
  Architecture: string
  Variant?: string
  OSVersion?: string
  OSFeatures?: string[]
}
interface Selector {
  input: string
  skip?: boolean
  expected: GoPlatform
  matches?: GoPlatform[]
  formatted: string
}
interface Only {
  platform: string
  matches: Array<{ key: boolean; value: string[] }>
}

const own = normalisePlatform(defaultPlatform())
const actual = (text: string, otherwise: string) => (text === otherwise ? '' : text)

function fromGo(go: GoPlatform): Platform {
  const architecture = go.Architecture === 'defaultArch' ? own.architecture : go.Architecture
  const variant = go.Architecture === 'defaultArch' ? (own.variant ?? '') : (go.Variant ?? '')
  return {
    os: actual(go.OS, 'defaultOS') || own.os,
    architecture,
    ...(variant ? { variant } : {}),
    ...(go.OSVersion ? { 'os.version': go.OSVersion } : {}),
    ...(go.OSFeatures ? { 'os.features': go.OSFeatures } : {}),
  }
}

/** The platforms that Go's tests call skipped are patterns, which the library refuses. */
test.each(casesOf<Selector>('platforms', 'TestParseSelector'))('$input is read as containerd does', (known) => {
  if (known.skip) {
    expect(() => parsePlatform(known.input)).toThrow(/platform/)
    return
  }
  const platform = parsePlatform(known.input)
  expect(platform).toEqual(fromGo(known.expected))
  const formatted = known.formatted.replace(/\/$/, '')
  expect(formatPlatform(platform)).toBe(
    formatted.replace(/\/amd64$/, `/${known.expected.Architecture === 'defaultArch' ? own.architecture : 'amd64'}`),
  )
  for (const match of known.matches ?? []) expect(platformRank(fromGo(match), platform)).toBeDefined()
})

test.each(casesOf<Selector>('platforms', 'TestParseSelectorInvalid'))('"$input" is refused', ({ input }) => {
  expect(() => parsePlatform(input)).toThrow(/platform/)
})

test.each(casesOf<Only>('platforms', 'TestOnly'))('what a machine of $platform runs', ({ platform, matches }) => {
  for (const { key, value } of matches)
    for (const image of value)
      expect([image, platformRank(parsePlatform(image), parsePlatform(platform)) !== undefined]).toEqual([image, key])
})

test.each(casesOf<Only>('platforms', 'TestOnlyStrict'))(
  'what is $platform and nothing else',
  ({ platform, matches }) => {
    for (const { key, value } of matches)
      for (const image of value)
        expect([image, platformRank(parsePlatform(image), parsePlatform(platform), true) !== undefined]).toEqual([
          image,
          key,
        ])
  },
)

interface Satisfies {
  have: GoPlatform & { Features?: string[] }
  spec: GoPlatform & { Features?: string[] }
  sat: boolean
}

/**
 * go-containerregistry takes a platform for what an image must have. For us and containerd it is a machine: an image may
 * need no feature that the machine lacks, and an unknown variant may need instructions that it has not. `features` is
 * reserved (image-spec) and decides nothing.
 */
function runs({ have, spec, sat }: Satisfies): boolean {
  if (have.Features || spec.Features) return true
  if (have.OSFeatures || spec.OSFeatures)
    return (have.OSFeatures ?? []).every((feature) => spec.OSFeatures?.includes(feature))
  return sat && !(have.Variant && !spec.Variant)
}

test.each(casesOf<Satisfies>('platforms', 'ggcr-satisfies'))('$have for $spec', (known) => {
  expect(platformRank(fromGo(known.have), fromGo(known.spec)) !== undefined).toBe(runs(known))
})

test('of an index the best fitting entry comes first, unknown platforms last, and attestations never', () => {
  const entries = ['linux/386', 'linux/amd64', 'linux/arm64', 'unknown/unknown', undefined, 'linux/amd64/v2'].map(
    (text) => ({
      text,
      ...(text === undefined ? {} : { platform: toPlatform(text) }),
    }),
  )
  const order = (machine: string) => rankManifests(entries, parsePlatform(machine)).map(({ text }) => text)
  expect(order('linux/amd64/v3')).toEqual(['linux/amd64/v2', 'linux/amd64', 'linux/386', undefined])
  expect(order('linux/amd64')).toEqual(['linux/amd64', 'linux/386', undefined])
  expect(order('linux/arm64')).toEqual(['linux/arm64', undefined])
})

function toPlatform(text: string): Platform {
  const [os, architecture, variant] = text.split('/') as [string, string, string?]
  return { os, architecture, ...(variant ? { variant } : {}) }
}

test('an image that needs a feature of the system runs only where that is', () => {
  const image = parsePlatform('linux(+gpu)/amd64')
  expect(platformRank(image, parsePlatform('linux/amd64'))).toBeUndefined()
  expect(platformRank(image, parsePlatform('linux(+gpu+simd)/amd64'))).toBe(0)
})

test('what is formatted is read as the same', () => {
  const part = fc.stringMatching(/^[a-z0-9_.-]{1,12}$/)
  fc.assert(
    fc.property(
      fc.stringMatching(/^[a-z0-9_-]{1,12}$/),
      part,
      part,
      fc.string(),
      (os, architecture, variant, version) => {
        const platform = normalisePlatform({
          os,
          architecture,
          variant,
          ...(version && Buffer.from(version).toString() === version ? { 'os.version': version } : {}),
        })
        const again = parsePlatform(formatPlatform(platform))
        expect(normalisePlatform(again)).toEqual(normalisePlatform(parsePlatform(formatPlatform(again))))
        expect(platformRank(again, platform)).toBe(0)
      },
    ),
  )
})
