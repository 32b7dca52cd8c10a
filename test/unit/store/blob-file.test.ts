import { createHash } from 'node:crypto'
import { closeSync, constants, fsyncSync, ftruncateSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { Worker } from 'node:worker_threads'
import { packageRoot } from '../../../lib/native/load.js'
import { BlobFile, digestOfFile } from '../../../lib/store/blob-file.js'
import { removeScratch, scratch } from '../../support/tree.js'

afterEach(removeScratch)

const { O_RDWR, O_CREAT, O_RDONLY } = constants
const content = (size: number) => Buffer.from(Array.from({ length: size }, (_, at) => (at * 7919) % 251))
const digestOf = (algorithm: string, bytes: Buffer) =>
  `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`

async function using<T>(flags: number, work: (fd: number, file: string) => Promise<T>): Promise<T> {
  const file = path.join(scratch(), 'file')
  const fd = openSync(file, flags | O_CREAT, 0o600)
  try {
    return await work(fd, file)
  } finally {
    closeSync(fd)
  }
}

// Around the blocks of 64 and 128 bytes, and where the length still fits behind the end and where it does not.
const SIZES = [0, 1, 55, 56, 63, 64, 65, 111, 112, 119, 120, 127, 128, 129, 239, 240, 255, 256, 1_100_000]

test.each(['sha256', 'sha384', 'sha512'] as const)('%s is what OpenSSL says, however the bytes come', (algorithm) =>
  using(O_RDWR, async (fd, file) => {
    for (const size of SIZES) {
      const bytes = content(size)
      writeFileSync(file, bytes)
      expect(await digestOfFile(fd, digestOf(algorithm, Buffer.alloc(0)), file)).toEqual({
        digest: digestOf(algorithm, bytes),
        size,
      })
      for (const cut of [0, 1, 64, 127, 128, size >> 1].filter((at) => at <= size)) {
        const blob = new BlobFile(fd, algorithm, file)
        expect(await blob.resume(cut)).toBe(cut)
        const written = [bytes.subarray(cut, cut + 70), bytes.subarray(cut + 70)].map((part) => blob.write(part))
        expect(await blob.digest()).toBe(digestOf(algorithm, bytes))
        await Promise.all(written)
        await blob.close()
        expect(readFileSync(file).equals(bytes)).toBe(true)
      }
    }
  }),
)

test('many chunks under way arrive in their order, and each promise when its chunk is there', () =>
  using(O_RDWR, async (fd, file) => {
    const blob = new BlobFile(fd, 'sha256', file)
    const parts = Array.from({ length: 500 }, (_, at) => Buffer.alloc(1 + ((at * 31) % 5000), at))
    const settled: number[] = []
    await Promise.all(parts.map((part, at) => blob.write(part).then(() => settled.push(at))))
    expect(settled).toEqual(parts.map((_, at) => at))
    await blob.sync()
    expect(await blob.digest()).toBe(digestOf('sha256', Buffer.concat(parts)))
    await blob.close()
    expect(readFileSync(file).equals(Buffer.concat(parts))).toBe(true)
  }))

test('a failure names the call, the file and the errno, and everything after it fails too', () =>
  using(O_RDONLY, async (fd, file) => {
    const blob = new BlobFile(fd, 'sha256', file)
    const failure = { syscall: 'write', errno: 9, path: file }
    const two = [blob.write(Buffer.from('a')), blob.write(Buffer.from('b'))]
    for (const write of two) await expect(write).rejects.toMatchObject(failure)
    await expect(blob.sync()).rejects.toMatchObject(failure)
    await expect(blob.digest()).rejects.toMatchObject(failure)
    await blob.close()
    // A directory is not read; a descriptor that is none cannot be duplicated.
    const directory = openSync(path.dirname(file), O_RDONLY)
    await expect(digestOfFile(directory, digestOf('sha256', Buffer.alloc(0)), file)).rejects.toMatchObject({
      syscall: 'read',
      errno: 21,
    })
    closeSync(directory)
    await expect(digestOfFile(directory, digestOf('sha256', Buffer.alloc(0)), file)).rejects.toMatchObject({
      syscall: 'dup',
      errno: 9,
    })
  }))

test('what has not begun when it is closed is not done, and closing waits for what has', () =>
  using(O_RDWR, async (fd, file) => {
    const blob = new BlobFile(fd, 'sha256', file)
    const parts = Array.from({ length: 200 }, () => Buffer.alloc(1_000_000, 1))
    const outcomes = Promise.allSettled(parts.map((part) => blob.write(part)))
    await Promise.all([blob.close(), blob.close()])
    fsyncSync(fd)
    const size = readFileSync(file).length
    const done = (await outcomes).filter(({ status }) => status === 'fulfilled').length
    expect(size).toBe(done * 1_000_000)
    expect(done).toBeLessThan(parts.length)
    // ECANCELED
    await expect(blob.write(Buffer.from('late'))).rejects.toMatchObject({ errno: 125 })
    expect(readFileSync(file)).toHaveLength(size)
  }))

test('a worker_thread that ends in the middle takes its memory with it, and nothing else', () =>
  using(O_RDWR, async (fd, file) => {
    const program = `
      const { parentPort, workerData } = require('node:worker_threads')
      const { blob } = require(workerData.addon)
      const file = blob.open(workerData.fd, 'sha256', '')
      for (let i = 0; i < 300; i++) {
        blob.write(file, Buffer.alloc(1_000_000, 1)).catch(() => undefined)
        if (i === 50) parentPort.postMessage('begun')
      }`
    const addon = path.join(packageRoot(), 'addon/build/Release/caisson.node')
    let cut = 0
    for (let round = 0; round < 5; round++) {
      const worker = new Worker(program, { eval: true, workerData: { addon, fd } })
      expect(await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject))).toBe(
        'begun',
      )
      await worker.terminate()
      const written = readFileSync(file)
      if (written.length < 300_000_000) cut++
      expect(written.every((byte) => byte === 1)).toBe(true)
      ftruncateSync(fd, 0)
    }
    expect(cut).toBeGreaterThan(0)
  }))
