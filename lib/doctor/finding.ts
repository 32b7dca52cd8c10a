/** What the doctor finds. */

/**
 * ok: it works. warning: containers run, with less than they could have. missing: something that containers need is not
 * there. unknown: it could not be tried.
 */
export type FindingState = 'ok' | 'warning' | 'missing' | 'unknown'

export interface Finding {
  /** Stable, as `namespace.user`. */
  id: string
  what: string
  state: FindingState
  /** What was seen: values, or the system call that failed. */
  detail: string
  /** What follows for containers. */
  why: string
  /** The command or setting that mends it; empty when nothing is to be mended. */
  fix: string
}

/** What a finding is about, whatever comes out. */
export type Subject = Pick<Finding, 'id' | 'what' | 'why'>

export function ok(subject: Subject, detail = ''): Finding {
  return { ...subject, state: 'ok', detail, fix: '' }
}

export function bad(subject: Subject, state: 'warning' | 'missing', detail: string, fix: string): Finding {
  return { ...subject, state, detail, fix }
}

export function unknown(subject: Subject, detail: string, fix = ''): Finding {
  return { ...subject, state: 'unknown', detail, fix }
}
