/** The WWW-Authenticate header (RFC 9110, 11.6.1): one or several challenges in one or several headers. Pure. */

export interface Challenge {
  /** In lower case, as `bearer`. */
  scheme: string
  /** Names in lower case. */
  params: Record<string, string>
}

const TOKEN = /[!#$%&'*+\-.^_`|~0-9A-Za-z]+/y
/** Credentials in one word, as Negotiate has them: not followed by what makes it a parameter. */
const TOKEN68 = /[A-Za-z0-9\-._~+/]+=*(?=\s*(?:,|$))/y
const QUOTED = /"((?:[^"\\]|\\.)*)"/y
const SPACE = /[ \t]*/y
const SEPARATOR = /[ \t,]*/y

/** No server needs more; a longer header is cut. */
const LENGTH_MAX = 16 * 1024

/** What does not have the form ends the reading: challenges before it count. */
export function parseChallenges(header: string | string[] | undefined): Challenge[] {
  if (header === undefined) return []
  const headers = typeof header === 'string' ? [header] : header
  return headers.flatMap((text) => parseOne(text.slice(0, LENGTH_MAX)))
}

function parseOne(text: string): Challenge[] {
  const challenges: Challenge[] = []
  let at = 0
  const take = (pattern: RegExp): RegExpExecArray | undefined => {
    pattern.lastIndex = at
    const match = pattern.exec(text)
    if (!match) return undefined
    at = pattern.lastIndex
    return match
  }
  for (;;) {
    take(SEPARATOR)
    const word = take(TOKEN)?.[0]
    if (word === undefined) return challenges
    const afterWord = at
    take(SPACE)
    const current = challenges.at(-1)
    if (text[at] === '=' && current) {
      at++
      take(SPACE)
      const quoted = take(QUOTED)
      const value = quoted ? (quoted[1] as string).replace(/\\(.)/gs, '$1') : take(TOKEN)?.[0]
      if (value === undefined) return challenges
      // The first one counts: a second realm is an attempt to be read differently by somebody else.
      const name = word.toLowerCase()
      if (!Object.hasOwn(current.params, name)) current.params[name] = value
      continue
    }
    if (text[at] === '=') return challenges
    challenges.push({ scheme: word.toLowerCase(), params: Object.create(null) as Record<string, string> })
    if (at > afterWord) take(TOKEN68)
  }
}
