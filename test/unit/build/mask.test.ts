/** Secrets in what commands print, however it comes. */
import { Mask } from '../../../lib/build/mask.js'

/** All that is told, when the text comes in pieces of this size. */
function told(secrets: readonly string[], text: string, size: number): string {
  const stream = new Mask(secrets.map((secret) => Buffer.from(secret))).stream()
  const bytes = Buffer.from(text)
  const parts: Buffer[] = []
  for (let at = 0; at < bytes.length; at += size) parts.push(stream.take(bytes.subarray(at, at + size)))
  return Buffer.concat([...parts, stream.end()]).toString()
}

test.each([
  [['hunter2'], 'the password is hunter2\n', 'the password is ***\n'],
  [['hunter2\n'], 'hunter2hunter2 hunter', '****** hunter'],
  [['abab'], 'ababab', '***ab'],
  [['aab0'], 'aaab0', 'a***'],
  [['secret', 'secret-longer'], 'secret-long secret-longer secre', '***-long *** secre'],
  [['-----BEGIN-----\nAAAABBBB\nCC\n-----END-----\n'], 'AAAABBBB and CC\n-----END-----\n', '*** and CC\n***\n'],
  [['füßchen'], 'ein füßchen', 'ein ***'],
  [['a.*b('], 'a.*b( aXXb(', '*** aXXb('],
  [['abc', '', '\n'], 'abc is too short to be one\n', 'abc is too short to be one\n'],
  [[], 'nothing is secret', 'nothing is secret'],
])('%j in %j', (secrets, text, says) => {
  for (let size = 1; size <= Buffer.byteLength(text); size++)
    expect([size, told(secrets, text, size)]).toEqual([size, says])
})

test('what cannot be a secret any more is told at once', () => {
  const stream = new Mask([Buffer.from('hunter2')]).stream()
  expect(stream.take(Buffer.from('progress hun')).toString()).toBe('progress ')
  expect(stream.take(Buffer.from('ger\n')).toString()).toBe('hunger\n')
  expect(stream.end().toString()).toBe('')
})

test('much output takes little time', () => {
  const key = Array.from({ length: 50 }, (_, i) => `${i}`.padStart(64, 'a')).join('\n')
  const stream = new Mask([Buffer.from(key)]).stream()
  const chunk = Buffer.alloc(64 * 1024, 'a')
  const began = performance.now()
  for (let i = 0; i < 32; i++) stream.take(chunk)
  expect(performance.now() - began).toBeLessThan(3000)
})
