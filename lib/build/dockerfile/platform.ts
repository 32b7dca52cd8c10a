/** Platforms as FROM --platform and the predefined arguments have them: `linux/arm64`, `linux/arm/v7`. */
import { KNOWN_ARCHITECTURES, KNOWN_SYSTEMS, normaliseArchitecture, normaliseSystem } from '../../spec/platform.js'
import { fault } from './source.js'
import { quote } from './text.js'

export interface Platform {
  os: string
  architecture: string
  variant?: string
  osVersion?: string
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
    return { os: normaliseSystem(os), ...normaliseArchitecture(parts[1] as string, parts[2]), ...version }
  if (KNOWN_SYSTEMS.has(os)) return { os, architecture: host.architecture, variant: host.variant, ...version }
  const alone = normaliseArchitecture(os)
  if (!KNOWN_ARCHITECTURES.has(alone.architecture)) throw wrong('unknown operating system or architecture')
  return { os: host.os, ...alone, ...version }
}

export function formatPlatform({ os, architecture, variant, osVersion }: Platform, withVersion = true): string {
  const system = osVersion && withVersion ? `${os}(${osVersion})` : os
  return [system, architecture, ...(variant ? [variant] : [])].join('/')
}
