/** The shape of a controller; one file each beside this one, and the list of them in controllers.ts. */
import type { Settings } from './settings.js'

/** One file of a cgroup directory and what to write to it. */
export interface FileWrite {
  file: string
  text: string
  /** The kernel may lack the file without the promise being broken. */
  lenient?: boolean
}

export interface Controller {
  /** The name in cgroup v2. */
  name: string
  /** The name in cgroup v1. */
  legacy: string
  /** Whether these settings need it; then a host without it is an error. */
  needed(settings: Settings): boolean
  unified(settings: Settings): FileWrite[]
  /** `now`: what a file of the group says, when it has limits already. */
  legacyWrites(settings: Settings, now?: (file: string) => string | undefined): FileWrite[]
}

/** `max` of cgroup v2. */
export function max(value: number): string {
  return value === Number.POSITIVE_INFINITY ? 'max' : String(value)
}

/** `-1` of cgroup v1. */
export function minusOne(value: number): string {
  return value === Number.POSITIVE_INFINITY ? '-1' : String(value)
}
