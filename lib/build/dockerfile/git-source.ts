/** Sources of ADD that are git repositories. */

import { parseGoBoolean } from './go-values.js'
import type { GitSource } from './plan-types.js'
import { fault } from './source.js'
import { joinPath, quote } from './text.js'

export interface GitAddress extends GitSource {
  keepGitDir?: boolean
  checksum?: string
}

/** user@host:path, as scp has it. */
const SCP = /^([a-zA-Z0-9-_]+)@([a-zA-Z0-9-.]+):([^?#]*)(?:\?([^#]*))?(?:#(.*))?$/

/**
 * A repository by git://, ssh:// or user@host:path, or by http(s):// with a path that ends in .git. Behind `#` there may
 * be a ref and a directory, `#ref:dir`; the same and more may stand in the query.
 * @returns undefined when it is no address of a repository.
 * @throws CaissonError ERR_CAISSON_DOCKERFILE for a bad query.
 */
export function parseGitAddress(text: string): GitAddress | undefined {
  const parts = text.includes('://') ? addressParts(text) : scpParts(text)
  if (!parts) return undefined
  const { remote, query, fragment } = parts
  const [ref = '', directory = ''] = fragment.split(/:(.*)/s, 2)
  const source: GitAddress = { remote, submodules: true, fetchByCommit: false }
  if (ref !== '') source.ref = ref
  const subdirectory = joinPath('/', directory).slice(1)
  if (subdirectory !== '') source.subdirectory = subdirectory
  applyQuery(source, new URLSearchParams(query))
  return source
}

interface Parts {
  remote: string
  query: string
  fragment: string
}

function addressParts(text: string): Parts | undefined {
  const [, remote = '', scheme = '', rest = '', query = '', fragment = ''] =
    /^(([a-zA-Z0-9]+):\/\/([^?#]*))(?:\?([^#]*))?(?:#(.*))?$/s.exec(text) ?? []
  const known = scheme.toLowerCase()
  const path = rest.includes('/') ? rest.slice(rest.indexOf('/')) : ''
  if (known === 'http' || known === 'https') return path.endsWith('.git') ? { remote, query, fragment } : undefined
  return known === 'git' || known === 'ssh' ? { remote, query, fragment } : undefined
}

function scpParts(text: string): Parts | undefined {
  const [, user, host, path, query = '', fragment = ''] = SCP.exec(text) ?? []
  return user === undefined ? undefined : { remote: `${user}@${host}:${path}`, query, fragment }
}

function applyQuery(source: GitAddress, query: URLSearchParams): void {
  for (const key of new Set(query.keys())) {
    const [value = '', ...others] = query.getAll(key)
    if (others.length > 0) throw fault(`query ${quote(key)} has multiple values`, 'Give it once.')
    if (key === 'keep-git-dir') source.keepGitDir = boolean(key, value)
    else if (key === 'submodules') source.submodules = boolean(key, value)
    else if (key === 'fetch-by-commit') source.fetchByCommit = boolean(key, value)
    else if (value === '') throw fault(`query ${quote(key)} has no value`, `Write ${key}=VALUE.`)
    else if (key === 'ref') setOnce(source, 'ref', value)
    else if (key === 'tag') setOnce(source, 'ref', prefixed('refs/tags/', value))
    else if (key === 'branch') setOnce(source, 'ref', prefixed('refs/heads/', value))
    else if (key === 'subdir') setOnce(source, 'subdirectory', value)
    else if (key === 'checksum' || key === 'commit') source.checksum = value
    else
      throw fault(
        `unexpected query ${quote(key)}`,
        'There are ref, tag, branch, subdir, checksum, keep-git-dir, submodules and fetch-by-commit.',
      )
  }
}

const prefixed = (prefix: string, name: string) => (name.startsWith(prefix) ? name : prefix + name)

function setOnce(source: GitAddress, field: 'ref' | 'subdirectory', value: string): void {
  const before = source[field]
  const name = field === 'ref' ? 'ref' : 'subdir'
  if (before !== undefined && before !== value)
    throw fault(`${name} conflicts: ${quote(before)} vs ${quote(value)}`, 'Give one of them.')
  source[field] = value
}

function boolean(key: string, value: string): boolean {
  const parsed = value === '' ? true : parseGoBoolean(value)
  if (parsed === undefined) throw fault(`invalid ${key} value: ${quote(value)}`, 'Give true or false.')
  return parsed
}
