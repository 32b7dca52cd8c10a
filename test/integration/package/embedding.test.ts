import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import path from 'node:path'
import { Worker } from 'node:worker_threads'

const support = path.resolve(__dirname, '../../support')

describe('inside other programs', () => {
  test('a worker_thread takes its containers with it', async () => {
    const workers = [1, 2].map(() => new Worker(path.join(support, 'worker.mjs')))
    const pids = await Promise.all(
      workers.map(
        (worker) => new Promise<number>((resolve, reject) => worker.once('message', resolve).once('error', reject)),
      ),
    )
    expect(pids.map((pid) => existsSync(`/proc/${pid}`))).toEqual([true, true])
    await Promise.all(workers.map((worker) => worker.terminate()))
    for (let i = 0; i < 100 && pids.some((pid) => existsSync(`/proc/${pid}`)); i++)
      await new Promise((resolve) => setTimeout(resolve, 10))
    expect(pids.map((pid) => existsSync(`/proc/${pid}`))).toEqual([false, false])
  })

  test('it is imported by a process that may have 64 files open', () => {
    const root = path.resolve(__dirname, '../../..')
    const script = `import { run, Image } from 'caisson'; console.log(typeof run, typeof Image)`
    const command = 'ulimit -n 64; exec "$0" --input-type=module -e "$1"'
    expect(execFileSync('sh', ['-c', command, process.execPath, script], { cwd: root, encoding: 'utf8' })).toBe(
      'function function\n',
    )
  })

  test('a process ends when its last run has ended, and not before', () => {
    const began = Date.now()
    const out = execFileSync(process.execPath, [path.join(support, 'once.mjs')], { encoding: 'utf8' })
    expect(out).toBe('hello\n')
    expect(Date.now() - began).toBeLessThan(5000)
  })

  test('a process waits for its pool, and for nothing when it is closed', () => {
    const script = `import { Image, Pool } from 'caisson'
      const pool = new Pool(await Image.host(), { size: 1 })
      await pool.ready()
      const results = await Promise.all([1, 2, 3].map((n) => pool.run(['echo', String(n)])))
      await pool[Symbol.asyncDispose]()
      console.log(results.map(({ stdout }) => stdout.trim()).join())`
    const root = path.resolve(__dirname, '../../..')
    const out = execFileSync(process.execPath, ['--input-type=module', '-e', script], { cwd: root, encoding: 'utf8' })
    expect(out).toBe('1,2,3\n')
  })

  test('ES modules and CommonJS load it alike, and it can be imported where it cannot run', () => {
    const root = path.resolve(__dirname, '../../..')
    const node = (...args: string[]) => execFileSync(process.execPath, args, { cwd: root, encoding: 'utf8' })
    expect(node('-e', "console.log(Object.keys(require('caisson')).sort().join())")).toBe(
      node('--input-type=module', '-e', "console.log(Object.keys(await import('caisson')).sort().join())"),
    )
    const elsewhere = `Object.defineProperty(process, 'platform', { value: 'darwin' })
      const { run, Image } = require('caisson')
      Image.host().then((image) => run(image, ['true'])).catch((error) => console.log(error.code, error.hint !== ''))`
    expect(node('-e', elsewhere)).toBe('ERR_CAISSON_UNSUPPORTED_PLATFORM true\n')
  })
})
