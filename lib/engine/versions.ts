/** Versions of the Docker Engine API: those that are spoken, and how a path names one. */
import { ApiError } from './failure.js'

/** The newest whose words are known here; clients of later ones speak this. */
export const API_VERSION = '1.47'
/** What dockerd itself still speaks. */
export const API_MINIMUM = '1.24'

/** `/v1.47/info`: the version, and the path without it; without one it is the newest. Throws 400 for others. */
export function versionIn(path: string): { version: string; path: string } {
  const [, version, rest] = /^\/v(\d{1,3}\.\d{1,4})(\/.*)$/.exec(path) ?? []
  if (version === undefined || rest === undefined) return { version: API_VERSION, path }
  if (compare(version, API_MINIMUM) < 0)
    throw new ApiError(
      400,
      `client version ${version} is too old. Minimum supported API version is ${API_MINIMUM}, please upgrade your client to a newer version`,
    )
  if (compare(version, API_VERSION) > 0)
    throw new ApiError(400, `client version ${version} is too new. Maximum supported API version is ${API_VERSION}`)
  return { version, path: rest }
}

/** Negative: `one` is older. */
export function compare(one: string, other: string): number {
  const [a = 0, b = 0] = one.split('.').map(Number)
  const [c = 0, d = 0] = other.split('.').map(Number)
  return a - c || b - d
}
