/** Lines of builds, the end of contexts, and credentials of several registries. */
import { Readable } from 'node:stream'
import { BuildLines } from '../../../lib/engine/build-lines.js'
import { contextBody } from '../../../lib/engine/context-body.js'
import { ApiError } from '../../../lib/engine/failure.js'
import type { Told } from '../../../lib/engine/progress.js'
import { registryConfig } from '../../../lib/engine/registry-config.js'

const output = (text: Buffer | string) =>
  ({ type: 'output', step: 1, stream: 'stdout', data: Buffer.from(text) }) as const

test('a character that comes in two pieces is one', () => {
  const told: Told[] = []
  const lines = new BuildLines({ tell: (line) => told.push(line), waiting: () => 0 })
  const euro = Buffer.from('€')
  lines.take(output(euro.subarray(0, 1)))
  lines.take(output(euro.subarray(1)))
  expect(told).toEqual([{ stream: '€' }])
})

test('for a client that does not read, nothing is kept; it is told what is missing when it reads again', () => {
  const told: Told[] = []
  let waiting = 8 << 20
  const lines = new BuildLines({ tell: (line) => told.push(line), waiting: () => waiting })
  for (let i = 0; i < 100; i++) lines.take(output('x'.repeat(1000)))
  expect(told).toEqual([])
  waiting = 0
  lines.take(output('end'))
  expect(told).toEqual([{ stream: '[100000 bytes are left out: they were not read in time]\n' }, { stream: 'end' }])
})

/** A header as far as it counts here, and `there` bytes of a file of `size`. */
function archive(size: number, there: number): Buffer {
  const header = Buffer.alloc(512)
  header.write(`${size.toString(8).padStart(11, '0')}\0`, 124)
  header.write('ustar', 257)
  return Buffer.concat([header, Buffer.alloc(there, 'x')])
}

const sizeOf = async (body: Buffer) => {
  let size = 0
  for await (const chunk of contextBody(Readable.from([body.subarray(0, 300), body.subarray(300)])))
    size += chunk.length
  return size
}

test.each([
  ['whole, without its last block filled', 600, 600, 512 * 3],
  ['short', 600, 590, 512 + 590],
  ['short by a block', 1200, 600, 512 + 600],
  ['whole', 512, 512, 1024],
])('an archive with a file that is %s', async (_, size, there, expected) => {
  expect(await sizeOf(archive(size, there))).toBe(expected)
})

describe('X-Registry-Config', () => {
  const header = (value: unknown) => {
    const text = Buffer.from(JSON.stringify(value)).toString('base64url')
    return text.padEnd(Math.ceil(text.length / 4) * 4, '=')
  }
  const entry = { username: 'a', password: 'b' }

  test('each registry has its own, and another one none', async () => {
    const auth = registryConfig(
      header({ 'https://index.docker.io/v1/': entry, 'one.example:5000': { identitytoken: 't' } }),
    )
    if (typeof auth !== 'function') throw new Error('no function')
    expect(await auth('docker.io')).toEqual(entry)
    expect(await auth('one.example:5000')).toEqual({ identityToken: 't' })
    expect(await auth('two.example')).toBeUndefined()
  })

  test('nothing is as if it were not there, and what is no object of objects is refused', () => {
    expect(registryConfig(undefined)).toBeUndefined()
    expect(registryConfig(header({}))).toBeUndefined()
    for (const wrong of ['{}', header([]), header({ a: 'b' })]) expect(() => registryConfig(wrong)).toThrow(ApiError)
  })
})
