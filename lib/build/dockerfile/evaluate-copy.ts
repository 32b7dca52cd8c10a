/** COPY and ADD: what is copied, from where and to where. */
import { parseMode, parseOwner } from './chmod.js'
import type { EvaluationContext } from './evaluation.js'
import { parseGitAddress } from './git-source.js'
import type { Add, Copy } from './instruction.js'
import { lintIgnored } from './lint-copy.js'
import type { CopySource, CopyStep, Source } from './plan-types.js'
import { fault } from './source.js'
import { baseName, cleanPath, joinPath, quote } from './text.js'
import type { Token } from './words.js'

const isHttp = (source: string) => /^https?:\/\//.test(source) && parseGitAddress(source) === undefined

/** Flags with variables filled in. */
interface Expanded {
  chown: string
  chmod: string
  checksum: string
}

export function evaluateCopy(context: EvaluationContext, copy: Copy | Add): void {
  const { state } = context
  const { place } = copy
  const value = (token: Token | undefined) => (token ? context.expand(place, token) : '')
  const checksum = copy.name === 'ADD' ? copy.checksum : undefined
  const flags: Expanded = { chown: value(copy.chown), chmod: value(copy.chmod), checksum: value(checksum) }
  const sources = copy.sources.map((source) => ({ token: source, text: context.expand(place, source) }))
  const destination = context.expand(place, copy.destination)
  const files = copy.files.map(({ name, content, expand }) => ({
    name,
    content: expand ? context.expandContent(place, content) : content,
  }))
  const mode = flags.chmod === '' ? undefined : place.at(copy.chmod, () => parseMode(flags.chmod))
  if (flags.checksum !== '') place.at(checksum, () => checkChecksum(flags.checksum, sources))
  const from: Source = copy.name === 'COPY' && copy.from ? context.sourceOf(place, copy.from.text) : { kind: 'context' }
  if (from.kind === 'context') for (const { token, text } of sources) lintIgnored(context, copy, token, text)
  const step: CopyStep = {
    kind: 'copy',
    from,
    sources: sources.map(({ token, text }) => place.at(token, () => sourceOf(copy, text, flags.checksum))),
    files,
    destination: absoluteDestination(destination, state.workdir),
    ...(flags.chown === '' ? {} : { owner: parseOwner(flags.chown) }),
    ...(mode === undefined ? {} : { mode }),
    link: copy.link,
    excludes: copy.excludes.map(({ text }) => text),
    span: place.span,
    title: context.title(place),
    history: state.commit(`${createdBy(copy, flags, sources, destination)} # buildkit`, true),
  }
  context.steps.push(step)
}

function createdBy(
  copy: Copy | Add,
  { chown, chmod }: Expanded,
  sources: Array<{ text: string }>,
  destination: string,
): string {
  return [
    copy.name,
    ...(copy.name === 'COPY' && copy.parents ? ['--parents'] : []),
    ...(chown === '' ? [] : [`--chown=${chown}`]),
    ...(chmod === '' ? [] : [`--chmod=${chmod}`]),
    ...sources.map(({ text }) => text),
    ...copy.files.map(({ name }) => `<<${name}`),
    destination,
  ].join(' ')
}

function checkChecksum(checksum: string, sources: Array<{ text: string }>): void {
  const [only, ...others] = sources
  if (!only || others.length > 0)
    throw fault("checksum can't be specified for multiple sources", 'Write an ADD for each of them.')
  if (parseGitAddress(only.text)) return
  if (!isHttp(only.text)) throw fault('checksum requires HTTP(S) or Git sources', 'Leave --checksum out.')
  if (!/^(?:sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128})$/.test(checksum))
    throw fault(
      `invalid checksum digest format: ${quote(checksum)}`,
      'Write --checksum=sha256: and 64 hexadecimal digits.',
    )
}

function sourceOf(copy: Copy | Add, text: string, checksum: string): CopySource {
  const git = parseGitAddress(text)
  if (git) return gitSource(copy, git, checksum)
  const unpack = copy.name === 'ADD' ? copy.unpack : undefined
  if (isHttp(text)) {
    if (copy.name === 'COPY') throw fault("source can't be a URL for COPY", 'Use ADD.')
    return {
      kind: 'http',
      url: text,
      fileName: fileNameOf(text),
      ...(checksum ? { checksum } : {}),
      unpack: unpack ?? false,
    }
  }
  const plain = { kind: 'path', unpack: unpack ?? copy.name === 'ADD' } as const
  if (copy.name === 'ADD' || !copy.parents) return { ...plain, path: joinPath('/', text), required: !hasWildcard(text) }
  // What stands before /./ is left out of the path that is kept.
  const [before = '', after] = text.split(/\/\.\/(.*)/s, 2)
  const [parent, below] = after === undefined ? ['/', before] : [before, after]
  return {
    ...plain,
    path: joinPath('/', parent),
    below: cleanPath(`/${below}`).slice(1),
    required: !hasWildcard(text),
  }
}

function gitSource(
  copy: Copy | Add,
  git: NonNullable<ReturnType<typeof parseGitAddress>>,
  checksum: string,
): CopySource {
  if (copy.name === 'COPY') throw fault("source can't be a git ref for COPY", 'Use ADD.')
  if (copy.keepGitDir !== undefined && git.keepGitDir !== undefined && copy.keepGitDir !== git.keepGitDir)
    throw fault('inconsistent keep-git-dir configuration', 'Say it once.')
  if (checksum !== '' && git.checksum !== undefined && checksum !== git.checksum)
    throw fault(`checksum mismatch ${quote(checksum)} != ${quote(git.checksum)}`, 'Say it once.')
  const wanted = git.checksum ?? checksum
  return {
    ...git,
    kind: 'git',
    keepGitDir: git.keepGitDir ?? copy.keepGitDir ?? false,
    ...(wanted === '' ? {} : { checksum: wanted }),
  }
}

/** The name that a download gets: the last part of its path. */
function fileNameOf(address: string): string {
  try {
    const name = baseName(decodeURIComponent(new URL(address).pathname))
    if (name !== '.' && name !== '/' && name !== '..') return name
  } catch {
    // Not every address can be decoded.
  }
  return '__unnamed__'
}

/** Absolute; with a slash at the end, or `/.`, when it was written so. */
function absoluteDestination(path: string, workdir: string): string {
  const written = path === '' || path === '.' ? './' : path
  const clean = cleanPath(written.startsWith('/') ? written : joinPath('/', workdir, written))
  if (written.endsWith('/.')) return clean === '/' ? '/.' : `${clean}/.`
  return written.endsWith('/') && clean !== '/' ? `${clean}/` : clean
}

/** Of the patterns that COPY knows. */
export function hasWildcard(text: string): boolean {
  for (let at = 0; at < text.length; at++) {
    if (text[at] === '\\') at++
    else if ('*?['.includes(text.charAt(at))) return true
  }
  return false
}
