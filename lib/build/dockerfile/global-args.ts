/** ARG above the first FROM, and the arguments that need no declaration. */
import { Environment } from './environment.js'
import type { Arg } from './instruction.js'
import type { Escape } from './lines.js'
import { formatPlatform, type Platform } from './platform.js'
import { expand } from './shell.js'

/** Platforms of the build, and what is built. A build argument of the same name replaces each. */
export function predefinedArgs(
  build: Platform,
  target: Platform,
  stage: string,
  buildArgs: ReadonlyMap<string, string>,
): Environment {
  const values: Record<string, string> = {
    BUILDPLATFORM: formatPlatform(build, false),
    BUILDOS: build.os,
    BUILDOSVERSION: build.osVersion ?? '',
    BUILDARCH: build.architecture,
    BUILDVARIANT: build.variant ?? '',
    TARGETPLATFORM: formatPlatform(target),
    TARGETOS: target.os,
    TARGETOSVERSION: target.osVersion ?? '',
    TARGETARCH: target.architecture,
    TARGETVARIANT: target.variant ?? '',
    TARGETSTAGE: stage,
  }
  const names = Object.keys(values)
  return new Environment(names.map((name) => [name, buildArgs.get(name) ?? (values[name] as string)]))
}

/**
 * With the ARG instructions above the first FROM.
 * @throws CaissonError ERR_CAISSON_DOCKERFILE, placed at the instruction.
 */
export function globalArgs(
  predefined: Environment,
  instructions: Arg[],
  buildArgs: ReadonlyMap<string, string>,
  escaper: Escape,
): Environment {
  const globals = predefined.clone()
  for (const { place, args } of instructions) {
    for (const { key, value } of args) {
      const written = () => value && place.at(value, () => expand(value.text, globals, { escape: escaper }).text)
      const result = buildArgs.get(key) ?? written()
      if (result !== undefined) globals.set(key, result)
    }
  }
  return globals
}

const PROXIES = new Set(['http_proxy', 'https_proxy', 'ftp_proxy', 'no_proxy', 'all_proxy'])

/** Proxies for the commands of a build, in both cases since programs look for either. */
export function proxyEnv(buildArgs: ReadonlyMap<string, string>): string[] {
  const proxies = new Map([...buildArgs].map(([name, value]) => [name.toLowerCase(), value]))
  return [...PROXIES].flatMap((name) => {
    const value = proxies.get(name)
    return value === undefined ? [] : [`${name.toUpperCase()}=${value}`, `${name}=${value}`]
  })
}

export const isProxyArg = (name: string) => PROXIES.has(name.toLowerCase())
