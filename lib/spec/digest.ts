/**
 * Digests of content: `sha256:` and hexadecimal digits (image-spec descriptor.md, "Digests"). What has not passed here
 * is never made a part of a path.
 */
import { CaissonError, invalidArgument } from '../errors.js'

/** Those that this package computes; the grammar allows others. */
export type DigestAlgorithm = 'sha256' | 'sha384' | 'sha512'

export interface Digest {
  algorithm: DigestAlgorithm
  /** Lower-case hexadecimal digits. */
  encoded: string
}

const GRAMMAR = /^([a-z0-9]+(?:[.+_-][a-z0-9]+)*):([a-zA-Z0-9=_-]+)$/
const DIGITS: Record<DigestAlgorithm, number> = { sha256: 64, sha384: 96, sha512: 128 }

export type DigestProblem = 'format' | 'length' | 'unsupported'

/** The parts, or what is wrong: no digest at all, an algorithm that we do not compute, a wrong number of digits. */
export function readDigest(text: unknown): Digest | DigestProblem {
  const match = typeof text === 'string' ? GRAMMAR.exec(text) : null
  if (!match) return 'format'
  const [, algorithm, encoded] = match as unknown as [string, DigestAlgorithm, string]
  if (!Object.hasOwn(DIGITS, algorithm)) return 'unsupported'
  if (encoded.length !== DIGITS[algorithm]) return 'length'
  return /^[0-9a-f]+$/.test(encoded) ? { algorithm, encoded } : 'format'
}

export function isDigest(text: unknown): text is string {
  return typeof readDigest(text) === 'object'
}

/** Whether it has the form of a digest, of an algorithm that we may not know. Only for content that is not read. */
export function hasDigestForm(text: string): boolean {
  const digest = readDigest(text)
  return typeof digest === 'object' || digest === 'unsupported'
}

/** Throws ERR_CAISSON_INVALID_ARGUMENT, naming `option`, or ERR_CAISSON_UNSUPPORTED for an algorithm that is not there. */
export function parseDigest(text: unknown, option = 'digest'): Digest {
  const digest = readDigest(text)
  if (typeof digest === 'object') return digest
  if (digest === 'unsupported')
    throw new CaissonError('ERR_CAISSON_UNSUPPORTED', `${option}: ${String(text).slice(0, 200)}: unknown algorithm`, {
      stage: 'digest',
      hint: 'Digests are computed by sha256, sha384 or sha512.',
    })
  throw invalidArgument(option, text, 'a digest: sha256: and 64 hexadecimal digits (or sha384, sha512)')
}
