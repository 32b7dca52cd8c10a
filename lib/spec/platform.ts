/**
 * Platforms: `linux/arm64/v8` (image-spec image-index.md; the matching rules are containerd's). An image fits a machine
 * of the same operating system whose processor runs its instructions: older variants, and 32-bit ones, run too.
 */
import { invalidArgument } from '../errors.js'

export interface Platform {
  architecture: string
  os: string
  'os.version'?: string
  'os.features'?: string[]
  variant?: string
}

const SYSTEMS =
  'aix android darwin dragonfly freebsd hurd illumos ios js linux nacl netbsd openbsd plan9 solaris windows zos'
const ARCHITECTURES =
  '386 amd64 amd64p32 arm armbe arm64 arm64be loong64 ppc64 ppc64le mips mipsle mips64 mips64le mips64p32 mips64p32le ppc riscv riscv64 s390 s390x sparc sparc64 wasm'
export const KNOWN_SYSTEMS: ReadonlySet<string> = new Set(SYSTEMS.split(' '))
export const KNOWN_ARCHITECTURES: ReadonlySet<string> = new Set(ARCHITECTURES.split(' '))

const PART = /^[A-Za-z0-9_.-]+$/
const SYSTEM = /^([A-Za-z0-9_-]+)(?:\(([A-Za-z0-9_.%-]*)((?:\+[A-Za-z0-9_.%-]+)*)\))?$/

/** Names that Node has for processors, and those of Go, which images use. */
const NODE_ARCHITECTURES: Record<string, string> = { x64: 'amd64', ia32: '386', ppc64: 'ppc64le', mipsel: 'mipsle' }

/** What this process runs on, and so what containers of it can be. */
export function defaultPlatform(): Platform {
  const architecture = NODE_ARCHITECTURES[process.arch] ?? process.arch
  const { arm_version: arm } = process.config.variables as { arm_version?: string }
  if (architecture === 'arm64') return { os: 'linux', architecture, variant: 'v8' }
  if (architecture === 'arm') return { os: 'linux', architecture, variant: `v${arm || '7'}` }
  return { os: 'linux', architecture }
}

/** `linux/arm/v7`, or one part of it alone: the rest is then this process's. Throws ERR_CAISSON_INVALID_ARGUMENT. */
export function parsePlatform(text: unknown, option = 'platform'): Platform {
  const wrong = () => invalidArgument(option, text, 'a platform such as linux/amd64 or linux/arm/v7')
  if (typeof text !== 'string') throw wrong()
  const [first, second, third, ...rest] = text.split('/')
  const match = SYSTEM.exec(first as string)
  if (rest.length > 0) throw wrong()
  if (second === undefined && !match && PART.test(first as string)) return onePart(first as string, wrong)
  if (!match) throw wrong()
  const [, system, version, features] = match
  if (second === undefined && version === undefined) return onePart(system as string, wrong)
  for (const part of [second, third]) if (part !== undefined && !PART.test(part)) throw wrong()
  const platform: Platform = {
    ...(second === undefined ? defaultArchitecture() : normaliseArchitecture(second, third)),
    os: normaliseSystem(system as string),
  }
  if (version) platform['os.version'] = decode(version, wrong)
  if (features)
    platform['os.features'] = features
      .slice(1)
      .split('+')
      .map((feature) => decode(feature, wrong))
  if (third === undefined) forgetArm7(platform)
  else if (platform.architecture === 'arm64') platform.variant ??= 'v8'
  return platform
}

function onePart(text: string, wrong: () => Error): Platform {
  const os = normaliseSystem(text)
  if (KNOWN_SYSTEMS.has(os)) return { ...defaultArchitecture(), os }
  const platform = { os: defaultPlatform().os, ...normaliseArchitecture(text) }
  forgetArm7(platform)
  if (!KNOWN_ARCHITECTURES.has(platform.architecture)) throw wrong()
  return platform
}

/** Without the variant that is meant when none is written. */
function defaultArchitecture(): { architecture: string; variant?: string } {
  const { architecture, variant } = defaultPlatform()
  return normaliseArchitecture(architecture, variant)
}

function forgetArm7(platform: Platform): void {
  if (platform.architecture === 'arm' && platform.variant === 'v7') delete platform.variant
}

function decode(text: string, wrong: () => Error): string {
  try {
    return decodeURIComponent(text)
  } catch {
    throw wrong()
  }
}

function encode(text: string): string {
  return text.replace(/[^A-Za-z0-9_.-]/gu, (character) =>
    [...Buffer.from(character, 'utf8')].map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join(''),
  )
}

/** As parsePlatform reads it. */
export function formatPlatform(platform: Platform): string {
  const version = platform['os.version'] ?? ''
  const features = [...(platform['os.features'] ?? [])].sort().map((feature) => `+${encode(feature)}`)
  const system = version || features.length > 0 ? `${platform.os}(${encode(version)}${features.join('')})` : platform.os
  return [system, platform.architecture, platform.variant].filter(Boolean).join('/')
}

export function normaliseSystem(os: string): string {
  const lower = os.toLowerCase()
  return lower === 'macos' ? 'darwin' : lower
}

const ARM_NUMBERS = new Set(['5', '6', '7', '8'])

export function normaliseArchitecture(name: string, given = ''): { architecture: string; variant?: string } {
  const architecture = name.toLowerCase()
  const variant = given.toLowerCase()
  const made = (as: string, version: string) =>
    version ? { architecture: as, variant: version } : { architecture: as }
  switch (architecture) {
    case 'i386':
      return made('386', '')
    case 'x86_64':
    case 'x86-64':
    case 'amd64':
      return made('amd64', variant === 'v1' ? '' : variant)
    case 'aarch64':
    case 'arm64':
      if (['8', 'v8', 'v8.0'].includes(variant)) return made('arm64', '')
      return made('arm64', ['9', '9.0', 'v9.0'].includes(variant) ? 'v9' : variant)
    case 'armhf':
      return made('arm', 'v7')
    case 'armel':
      return made('arm', 'v6')
    case 'arm':
      return made('arm', ARM_NUMBERS.has(variant) ? `v${variant}` : variant || 'v7')
    default:
      return made(architecture, variant)
  }
}

/** The one form of all that mean the same. */
export function normalisePlatform(platform: Platform): Platform {
  const { variant: _, ...others } = platform
  return {
    ...others,
    os: normaliseSystem(platform.os),
    ...normaliseArchitecture(platform.architecture, platform.variant),
  }
}

/** The variants of processors that a machine runs, the best first. */
function runnable(architecture: string, variant: string | undefined): string[] {
  const name = (version: string) => `${architecture}/${version}`
  const number = Number(variant?.slice(1))
  const own = variant ? name(variant) : architecture
  if (architecture === 'amd64') {
    const older = Number.isInteger(number) ? countDown(number - 1, 2).map((level) => name(`v${level}`)) : []
    return [own, ...older, ...(variant ? [architecture] : []), '386']
  }
  if (architecture === 'arm') return [own, ...countDown(number - 1, 5).map((version) => name(`v${version}`))]
  if (architecture === 'arm64') return [...arm64Versions(variant), ...runnable('arm', 'v8')]
  return [own]
}

function arm64Versions(variant = 'v8'): string[] {
  const match = /^v([89])(?:\.([0-9]))?$/.exec(variant)
  if (!match) return [`arm64/${variant}`]
  const [major, minor] = [Number(match[1]), Number(match[2] ?? 0)]
  const versions = major === 9 ? countDown(minor, 0).map((revision) => `v9.${revision}`) : []
  // What 9.x has is in 8.(x+5) too (Arm's architecture manual, "Armv9").
  versions.push(...countDown(major === 9 ? Math.min(minor + 5, 9) : minor, 0).map((revision) => `v8.${revision}`))
  return versions.map((version) => slot({ os: '', architecture: 'arm64', variant: version }))
}

function countDown(from: number, to: number): number[] {
  return from >= to ? Array.from({ length: from - to + 1 }, (_, index) => from - index) : []
}

function slot(platform: Platform): string {
  const { architecture, variant } = normalisePlatform(platform)
  return variant ? `${architecture}/${variant}` : architecture
}

/**
 * How well an image of `image` fits a machine of `machine`: 0 is best, larger is older; undefined: it does not run.
 * `strict`: only that very variant.
 */
export function platformRank(image: Platform, machine: Platform, strict = false): number | undefined {
  const [have, want] = [normalisePlatform(image), normalisePlatform(machine)]
  if (have.os !== want.os) return undefined
  // Machines of ours have none: whoever names one means it.
  const [version, wanted] = [have['os.version'], want['os.version']]
  if (version && wanted && version !== wanted) return undefined
  const features = new Set(want['os.features'])
  if (have.os !== 'windows' && have['os.features']?.some((feature) => !features.has(feature))) return undefined
  const rank = (strict ? [slot(want)] : runnable(want.architecture, want.variant)).indexOf(slot(have))
  return rank < 0 ? undefined : rank
}

/**
 * Of an index's entries those that fit, the best first and otherwise in their order. Entries without a platform come
 * last: only their configuration can tell.
 */
export function rankManifests<Entry extends { platform?: Platform }>(
  entries: readonly Entry[],
  machine: Platform,
  strict = false,
): Entry[] {
  return entries
    .map((entry) => ({
      entry,
      rank: entry.platform ? platformRank(entry.platform, machine, strict) : Number.MAX_SAFE_INTEGER,
    }))
    .filter((ranked): ranked is { entry: Entry; rank: number } => ranked.rank !== undefined)
    .sort((a, b) => a.rank - b.rank)
    .map(({ entry }) => entry)
}
