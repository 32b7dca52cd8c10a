/** Restart policies, with Docker's rules. */
import { invalidArgument } from '../../errors.js'
import type { RestartPolicy } from '../../options.js'
import type { ExecResult } from '../process/verdict.js'

const FIRST_DELAY = 100
const MAX_DELAY = 60_000
/** A program that ran this long counts as having come up: delays begin anew. */
const SETTLED = 10_000

export function checkRestart(policy: RestartPolicy | undefined): RestartPolicy {
  if (policy === undefined) return 'no'
  if (policy === 'no' || policy === 'always' || policy === 'unless-stopped') return policy
  if (typeof policy === 'object' && Number.isInteger(policy?.onFailure) && policy.onFailure >= 0) return policy
  throw invalidArgument('restart', policy, "'no', 'always', 'unless-stopped' or { onFailure: retries }")
}

/** Decides, and counts. Someone who stops a container means it: then it stays stopped. */
export class Restarter {
  readonly #policy: RestartPolicy
  #delay = FIRST_DELAY
  #count = 0

  constructor(policy: RestartPolicy) {
    this.#policy = policy
  }

  get count(): number {
    return this.#count
  }

  /** Milliseconds to wait before the next start, or undefined to let it be. */
  next(result: ExecResult): number | undefined {
    const policy = this.#policy
    if (policy === 'no') return undefined
    if (typeof policy === 'object') {
      const failed = result.exitCode !== 0
      // 0 retries means no bound, as in Docker.
      if (!failed || (policy.onFailure > 0 && this.#count >= policy.onFailure)) return undefined
    }
    if (result.durationMs >= SETTLED) this.#delay = FIRST_DELAY
    const delay = this.#delay
    this.#delay = Math.min(this.#delay * 2, MAX_DELAY)
    this.#count++
    return delay
  }
}
