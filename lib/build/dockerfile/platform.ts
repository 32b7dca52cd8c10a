/** Platforms as FROM --platform and the predefined arguments have them: `linux/arm64`, `linux/arm/v7`. */
import { fault } from './source.js'
import { quote } from './text.js'

export interface Platform {
  os: string
  architecture: string
  variant?: string
  osVersion?: string
}

const SYSTEMS = new Set(
  'aix android darwin dragonfly freebsd hurd illumos ios js linux nacl netbsd openbsd plan9 solaris windows zos'.split(
    ' ',
  ),
)
const ARCHITECTURES = new Set(
  (
    '386 amd64 amd64p32 arm armbe arm64 arm64be ppc64 ppc64le loong64 mips mipsle mips64 mips64le mips64p32 ' +
    'mips64p32le ppc riscv riscv64 s390 s390x sparc sparc64 wasm'
  ).split(' '),
)

/** Other names, and the variant that goes without saying. */
const SAME: Record<string, [architecture: string, variant?: string]> = {
  i386: ['386'],
  x86_64: ['amd64'],
  'x86-64': ['amd64'],
  aarch64: ['arm64'],
  armhf: ['arm', 'v7'],
  armel: ['arm', 'v6'],
}

const PART = /^[A-Za-z0-9_.-]+$/
const SYSTEM = /^([A-Za-z0-9_.-]+)(?:\(([A-Za-z0-9_.+-]*)\))?$/

/**
 * @param host what is taken for what is left out.
 * @throws CaissonError ERR_CAISSON_DOCKERFILE
 */
export function parsePlatform(text: string, host: Platform): Platform {
  const wrong = (why: string) => fault(`${quote(text)}: ${why}`, 'Write os/architecture or os/architecture/variant.')
  const parts = text.toLowerCase().split('/')
  const [, os, osVersion] = SYSTEM.exec(parts[0] as string) ?? []
  if (parts.length > 3 || os === undefined || !parts.slice(1).every((part) => PART.test(part)))
    throw wrong('invalid platform specifier')
  const version = osVersion ? { osVersion } : {}
  if (parts.length > 1)
    return { os: os === 'macos' ? 'darwin' : os, ...architecture(parts[1] as string, parts[2]), ...version }
  if (SYSTEMS.has(os)) return { os, architecture: host.architecture, variant: host.variant, ...version }
  const alone = architecture(os)
  if (!ARCHITECTURES.has(alone.architecture)) throw wrong('unknown operating system or architecture')
  return { os: host.os, ...alone, ...version }
}

function architecture(name: string, variant?: string): { architecture: string; variant?: string } {
  const [known, implied] = Object.hasOwn(SAME, name) ? (SAME[name] as [string, string?]) : [name]
  let exact = variant || implied
  if (known === 'arm') exact = /^[5-8]$/.test(exact ?? '') ? `v${exact}` : exact || 'v7'
  if (known === 'arm64' && (exact === '8' || exact === 'v8')) exact = undefined
  if (known === 'amd64' && exact === 'v1') exact = undefined
  return exact ? { architecture: known, variant: exact } : { architecture: known }
}

export function formatPlatform({ os, architecture, variant, osVersion }: Platform, withVersion = true): string {
  const system = osVersion && withVersion ? `${os}(${osVersion})` : os
  return [system, architecture, ...(variant ? [variant] : [])].join('/')
}
