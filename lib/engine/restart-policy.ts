/** HostConfig.RestartPolicy, in Docker's words when it is wrong. */
import type { RestartPolicy } from '../options.js'
import { badRequest } from './failure.js'

const NAMES = ['', 'no', 'always', 'on-failure', 'unless-stopped']

export function parseRestartPolicy(name = '', retries = 0): RestartPolicy {
  if (!NAMES.includes(name))
    throw invalid(`unknown policy '${name}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'`)
  if (name === 'on-failure') {
    if (retries < 0) throw invalid('maximum retry count cannot be negative')
    return { onFailure: retries }
  }
  // A count without a policy was always taken.
  if (name !== '' && retries !== 0)
    throw invalid(
      `maximum retry count can only be used with 'on-failure'${retries < 0 ? ' and cannot be negative' : ''}`,
    )
  return name === 'always' || name === 'unless-stopped' ? name : 'no'
}

function invalid(message: string): Error {
  return badRequest(`invalid restart policy: ${message}`)
}
