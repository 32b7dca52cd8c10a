/** What may be said of requests and answers in errors and logs: no query, no password, nothing that moves a cursor. */

/**
 * An address without the values of its query (signed addresses of storage servers are keys) and without a password.
 * `ns`, the name of a registry, stays.
 */
export function redactUrl(text: string): string {
  const match = /^([a-z][a-z0-9+.-]*:\/\/)([^/?#]*)([^?#]*)(\?[^#]*)?(#.*)?$/is.exec(text)
  if (!match) return text
  const [, scheme = '', authority = '', path = '', query = '', fragment = ''] = match
  const at = authority.lastIndexOf('@')
  const user = at < 0 ? '' : authority.slice(0, at)
  const shownUser = at < 0 ? '' : `${user.includes(':') ? `${user.slice(0, user.indexOf(':'))}:xxxxx` : user}@`
  return scheme + shownUser + authority.slice(at + 1) + path + redactQuery(query) + fragment
}

function redactQuery(query: string): string {
  if (query.length < 2) return query
  const pairs = [...new URLSearchParams(query)].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
  const shown = pairs.map(([name, value]) => {
    const kept = value === '' || name === 'ns' ? encodeURIComponent(value) : 'REDACTED'
    return `${encodeURIComponent(name)}=${kept}`
  })
  return `?${shown.join('&')}`
}

const SHOWN_MAX = 300

/** Text of a server, for people: short, on one line, without characters that a terminal acts on. */
export function printable(text: string): string {
  const short = text.length > SHOWN_MAX ? `${text.slice(0, SHOWN_MAX)}...` : text
  return short.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cs}]+/gu, ' ').trim()
}

/** Takes secrets out of a text: a server may say back to us what we sent. */
export function withoutSecrets(text: string, secrets: Iterable<string>): string {
  let clean = text
  for (const secret of secrets) if (secret.length >= 3) clean = clean.replaceAll(secret, 'REDACTED')
  return clean
}
