import fc from 'fast-check'
import type { CaissonError } from '../../../lib/errors.js'
import { hasDigestForm, isDigest, parseDigest, readDigest } from '../../../lib/spec/digest.js'
import { casesOf } from '../../support/cases.js'

interface Case {
  Input: string
  Algorithm?: string
  Encoded?: string
  Err?: string
}

const PROBLEMS: Record<string, string> = {
  'digest.ErrDigestInvalidFormat': 'format',
  'digest.ErrDigestInvalidLength': 'length',
  'digest.ErrDigestUnsupported': 'unsupported',
}

test.each(casesOf<Case>('digest', 'TestParseDigest'))('$Input is read as go-digest does', (known) => {
  const read = readDigest(known.Input)
  if (known.Err) expect(read).toBe(PROBLEMS[known.Err])
  else expect(read).toEqual({ algorithm: known.Algorithm, encoded: known.Encoded })
})

test.each(casesOf<string>('digest', 'ggcr-bad-hashes'))('%s is refused', (text) => {
  expect(isDigest(text)).toBe(false)
})

test('what passes cannot lead anywhere as a part of a path', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.stringMatching(/^sha(256|512):[0-9a-f./]*$/)), (text) => {
      if (isDigest(text)) expect(text).toMatch(/^sha(256|384|512):[0-9a-f]{64,128}$/)
    }),
  )
  for (const bad of [
    'sha256:../../etc/passwd',
    `sha256:${'a'.repeat(64)}\n`,
    `sha256:${'a'.repeat(63)}/`,
    'sha256:',
    1,
    null,
  ])
    expect(isDigest(bad)).toBe(false)
})

test('errors name the option; an algorithm that we do not compute is another error', () => {
  expect(() => parseDigest('sha256:x', 'manifest')).toThrow(/manifest/)
  const unsupported = `blake3:${'a'.repeat(64)}`
  expect(hasDigestForm(unsupported)).toBe(true)
  try {
    parseDigest(unsupported)
    throw new Error('accepted')
  } catch (error) {
    expect((error as CaissonError).code).toBe('ERR_CAISSON_UNSUPPORTED')
  }
})
