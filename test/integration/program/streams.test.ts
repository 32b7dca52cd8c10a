import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import path from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { Readable } from 'node:stream'
import { type Execution, Image, run } from '../../../lib/index.js'

/** A program of its own, in which an unhandled rejection is the end. */
const node = async (script: string) => {
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { cwd: ROOT })
  const output = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const)
    child[name].on('data', (chunk) => {
      output[name] += chunk
    })
  await once(child, 'close')
  return output
}
const ROOT = path.resolve(__dirname, '../../..')

describe('streams of a run', () => {
  let image: Image
  beforeAll(async () => {
    image = await Image.host()
  })

  test('input reaches the program whole, whatever its size and form', async () => {
    const bytes = Buffer.alloc(3_000_000, 'abc\0\xff')
    expect((await run(image, ['cat'], { input: 'text' })).stdout).toBe('text')
    expect((await run(image, ['cat'], { input: bytes })).stdoutBytes.equals(bytes)).toBe(true)
    expect((await run(image, ['wc', '-c'], { input: Readable.from([bytes, bytes]) })).stdout.trim()).toBe('6000000')
  })

  test('a program whose reader is gone is ended, as anywhere', async () => {
    const { stdout, stderr } = await run(image, ['sh', '-c', '(yes; echo $? >&2) | head -n 1'], { timeout: '20s' })
    expect([stdout, stderr]).toEqual(['y\n', '141\n'])
  })

  test('without input the program reads the end of file at once', async () => {
    expect(await run(image, ['cat'])).toMatchObject({ stdout: '', exitCode: 0 })
    const execution = run(image, ['cat'])
    await execution.pid
    expect(await execution).toMatchObject({ exitCode: 0 })
  })

  test('stdin is written to while the program runs', async () => {
    const execution = run(image, ['sh', '-c', 'while read line; do echo "got $line"; done; echo end'])
    execution.stdin.write('one\n')
    const [first] = await once(execution.stdout, 'data')
    expect(String(first)).toBe('got one\n')
    execution.stdin.end('two\n')
    const result = await execution
    expect(result.stdout).toBe('got one\ngot two\nend\n')
  })

  test('stdin is opened late, after the program has started', async () => {
    const execution = run(image, ['cat'])
    await execution.pid
    execution.stdin.end('late')
    expect((await execution).stdout).toBe('late')
  })

  test('chunks of both outputs are iterated over', async () => {
    const execution = run(image, ['sh', '-c', 'echo a; sleep 0.05; echo b >&2; sleep 0.05; echo c'])
    const chunks: string[] = []
    for await (const { stream, data } of execution) chunks.push(`${stream}:${data.toString().trim()}`)
    expect(chunks).toEqual(['stdout:a', 'stderr:b', 'stdout:c'])
    expect(await execution).toMatchObject({ exitCode: 0, stdout: 'a\nc\n', stderr: 'b\n' })
  })

  const iterated = async (execution: Execution) => {
    for await (const chunk of execution) throw new Error(`output: ${chunk.data}`)
  }
  const read = async (stream: Readable) => {
    for await (const chunk of stream) throw new Error(`output: ${chunk}`)
  }
  const missing = { code: 'ERR_CAISSON_COMMAND_NOT_FOUND', stage: 'exec', result: { exitCode: 127 } }
  const unknown = { code: 'ERR_CAISSON_USER_NOT_FOUND', stage: 'user' }

  const text = async (stream: Readable) => String(Buffer.concat(await stream.toArray()))

  test('who only reads is told that nothing was executed', async () => {
    const said = 'caisson: no-such: not found\n'
    const noCommand = (options = {}) => run(image, ['no-such'], options)
    const noUser = () => run(image, ['true'], { user: 'nobody-there' })
    const chunks: string[] = []
    for await (const { stream, data } of noCommand()) chunks.push(`${stream}: ${data}`)
    for await (const { data } of noCommand({ tty: true })) chunks.push(String(data))
    expect(chunks).toEqual([`stderr: ${said}`, said.replace('\n', '\r\n')])
    expect(await text(noCommand().stderr)).toBe(said)
    expect(await text(noCommand().stdout)).toBe('')
    expect(await text(run(image, ['/etc/passwd']).stderr)).toMatch(/passwd: /)
    await expect(iterated(noUser())).rejects.toMatchObject(unknown)
    for (const name of ['stdout', 'stderr'] as const) await expect(read(noUser()[name])).rejects.toMatchObject(unknown)
    const both = noUser()
    await expect(Promise.all([read(both.stderr), read(both.stdout)])).rejects.toMatchObject(unknown)
    await expect(noCommand().pid).rejects.toMatchObject(missing)
  })

  test('to who awaits it a missing command is a result, whatever was read before', async () => {
    const execution = run(image, ['no-such'])
    execution.stdout.resume()
    const result = await execution
    expect(result).toMatchObject({ exitCode: 127, stderr: 'caisson: no-such: not found\n' })
    expect(await text(execution.stderr)).toBe(result.stderr)
  })

  test('an end without output is an end, also of what closes its streams early', async () => {
    await iterated(run(image, ['true']))
    await iterated(run(image, ['false']))
    const execution = run(image, ['sh', '-c', 'exec >&- 2>&-; sleep 1000'])
    await read(execution.stdout)
    execution.kill()
    expect(await execution).toMatchObject({ signal: 'SIGKILL' })
    const killed = run(image, ['sleep', '1000'])
    killed.kill()
    await iterated(killed)
  })

  test('who has heard of a failure while reading need not catch it twice', async () => {
    const { stdout, stderr } = await node(`
      import { Image, run } from 'caisson'
      const image = await Image.host()
      const failing = () => run(image, ['true'], { user: 'nobody-there' })
      const heard = async (readable) => {
        try { for await (const _ of readable); } catch (error) { console.log(error.code) }
      }
      await heard(failing())
      await heard(failing().stdout)
      const given = run(image, ['true'], { mounts: [{ type: 'bind', source: '/nowhere', target: '/x' }] })
      await heard(given.stderr)
      for await (const _ of run(image, ['sh', '-c', 'echo; exit 3'], { throwOnError: true })) break
      await new Promise((resolve) => setTimeout(resolve, 300))
      console.log('alive')`)
    expect([stdout, stderr]).toEqual([
      'ERR_CAISSON_USER_NOT_FOUND\nERR_CAISSON_USER_NOT_FOUND\nERR_CAISSON_MOUNT_SOURCE_NOT_FOUND\nalive\n',
      '',
    ])
  })

  test('a failure of which nobody hears ends the process', async () => {
    const { stdout, stderr } = await node(`
      import { Image, run } from 'caisson'
      run(await Image.host(), ['true'], { user: 'nobody-there' }).stdout.resume()
      setTimeout(() => console.log('alive'), 2000)`)
    expect(stdout).toBe('')
    expect(stderr).toContain('ERR_CAISSON_USER_NOT_FOUND')
  })

  test('a stream that is asked for late has all that came before', async () => {
    const execution = run(image, ['sh', '-c', 'echo early; sleep 0.2; echo late'])
    await execution.pid
    await new Promise((resolve) => setTimeout(resolve, 80))
    let text = ''
    for await (const chunk of execution.stdout) text += chunk
    expect(text).toBe('early\nlate\n')
    expect((await execution).stdout).toBe('early\nlate\n')
  })

  test('a reader that does not read stops the program, and memory stays flat', async () => {
    const execution = run(image, ['sh', '-c', 'head -c 50000000 /dev/zero; echo done >&2'])
    const { stdout } = execution
    await execution.pid
    const before = process.memoryUsage().rss
    await new Promise((resolve) => setTimeout(resolve, 300))
    expect(process.memoryUsage().rss - before).toBeLessThan(20_000_000)
    let size = 0
    for await (const chunk of stdout) size += chunk.length
    expect(size).toBe(50_000_000)
    expect(await execution).toMatchObject({ exitCode: 0, stderr: 'done\n' })
  })

  test('output over the bound ends the program', async () => {
    const result = await run(image, ['sh', '-c', 'yes'], { maxOutput: '64k' })
    expect(result).toMatchObject({ reason: 'output', truncated: true, exitCode: null, signal: 'SIGKILL' })
    expect(result.stdoutBytes.length).toBe(65536)
    const streamed = run(image, ['sh', '-c', 'yes'], { maxOutput: '64k' })
    let size = 0
    for await (const { data } of streamed) size += data.length
    expect(size).toBeGreaterThanOrEqual(65536)
    expect(await streamed).toMatchObject({ reason: 'output', truncated: true })
  })

  test('binary output is not touched', async () => {
    const result = await run(image, ['sh', '-c', 'head -c 1000000 /dev/urandom | tee /tmp/x; sha256sum < /tmp/x >&2'])
    expect(createHash('sha256').update(result.stdoutBytes).digest('hex')).toBe(result.stderr.slice(0, 64))
  })

  test('a terminal is a terminal, of the size that it is told', async () => {
    const execution = run(
      image,
      ['sh', '-c', 'test -t 0 && test -t 1 && stty size && read x && stty size && echo "$x"'],
      {
        tty: { columns: 100, rows: 30 },
      },
    )
    let text = ''
    execution.stdout.on('data', (chunk) => {
      text += chunk
      if (text === '30 100\r\n') {
        execution.resize(120, 40)
        execution.stdin.write('word\n')
      }
    })
    const result = await execution
    expect(result.exitCode).toBe(0)
    expect(text).toBe('30 100\r\nword\r\n40 120\r\nword\r\n')
    expect(result.stdout).toBe(text)
  })

  test('a terminal nobody looks at still gives its text', async () => {
    const result = await run(image, ['sh', '-c', 'tty; echo $TERM'], { tty: true })
    expect(result).toMatchObject({ exitCode: 0, stdout: '/dev/pts/0\r\nxterm\r\n', stderr: '' })
  })

  test('the program sees the end when we stop reading', async () => {
    const execution = run(image, ['sh', '-c', 'trap "" PIPE; while echo x; do :; done; echo broken >&2; exit 4'])
    execution.stdout.once('data', () => execution.stdout.destroy())
    expect(await execution).toMatchObject({ exitCode: 4, stderr: expect.stringContaining('broken') })
  })

  test('input that breaks off ends the program, and is an error of its own', async () => {
    const broken = new Readable({
      read() {
        setTimeout(() => this.destroy(new Error('the line is cut')), 20)
      },
    })
    for (const tty of [false, true]) {
      const error = await run(image, ['cat'], { input: tty ? Readable.from([{}]) : broken, tty, timeout: '20s' }).catch(
        (reason) => reason,
      )
      expect(error).toMatchObject({ name: 'CaissonError', stage: 'input', cause: expect.any(Error) })
    }
  })

  test('input comes from whatever can be iterated, and is let go of with the program', async () => {
    async function* words() {
      yield 'one '
      yield Buffer.from('two')
    }
    expect((await run(image, ['cat'], { input: words() })).stdout).toBe('one two')
    const endless = new Readable({
      read() {
        this.push(Buffer.alloc(65536))
      },
    })
    expect(await run(image, ['head', '-c', '3'], { input: endless })).toMatchObject({ exitCode: 0 })
    if (!endless.destroyed) await once(endless, 'close')
  })

  test('who looks at the output late misses nothing', async () => {
    const ended = run(image, ['sh', '-c', 'echo out; echo err >&2'])
    await ended
    const chunks: string[] = []
    for await (const { stream, data } of ended) chunks.push(`${stream} ${data}`)
    expect(chunks.sort()).toEqual(['stderr err\n', 'stdout out\n'])
    const started = run(image, ['sh', '-c', 'echo first; read x; echo $x'])
    await started.pid
    started.stdin.write('second\n')
    await new Promise((resolve) => setTimeout(resolve, 100))
    let text = ''
    for await (const chunk of started.stdout) text += chunk
    expect(text).toBe('first\nsecond\n')
    expect(await started).toMatchObject({ stdout: text })
  })

  test('a stream that is taken late and destroyed is closed for the program too', async () => {
    const execution = run(image, ['yes'], { timeout: '20s' })
    await execution.pid
    execution.stdout.once('data', () => execution.stdout.destroy())
    expect((await execution).reason).not.toBe('timeout')
  })

  test('maxOutput is for both streams together, and nothing above it comes through', async () => {
    const both = await run(image, ['sh', '-c', 'printf 12345; printf 12345 >&2; sleep 20'], { maxOutput: 8 })
    expect(both).toMatchObject({ reason: 'output', truncated: true })
    expect(both.stdoutBytes.length + both.stderrBytes.length).toBe(8)
    const execution = run(image, ['yes'], { maxOutput: 100_000 })
    let streamed = 0
    for await (const { data } of execution) streamed += data.length
    expect(streamed).toBe(100_000)
    expect(await execution).toMatchObject({ reason: 'output', truncated: true })
  })

  test('a kill that comes before the program ends it all the same', async () => {
    const execution = run(image, ['sleep', '1000'])
    execution.kill('SIGKILL')
    expect(await execution).toMatchObject({ exitCode: null, signal: 'SIGKILL', reason: 'signal' })
  })

  test('the end of what is typed is the end of file of a terminal', async () => {
    for (const input of ['line\n', 'no line', ''])
      expect(await run(image, ['cat'], { tty: true, input, timeout: '20s' })).toMatchObject({ exitCode: 0 })
    const execution = run(image, ['wc', '-l'], { tty: true, timeout: '20s' })
    execution.stdin.end('one\ntwo\n')
    expect(await execution).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/\n2\r\n$/) })
  })

  test('the last words of a program arrive through its terminal', async () => {
    const script = 'read -r line; echo "$line" | tr a-z A-Z'
    const results = await Promise.all(
      Array.from({ length: 200 }, () =>
        // In an emulated machine they take long, all at once.
        run(image, ['sh', '-c', script], { tty: true, input: 'said\n', timeout: '50s' }),
      ),
    )
    expect(results.map(({ reason, stdout }) => `${reason}: ${stdout}`)).toEqual(
      Array(200).fill('exit: said\r\nSAID\r\n'),
    )
  })

  test('what is typed and not read waits, and nobody with it', async () => {
    const execution = run(image, ['sh', '-c', 'sleep 1; wc -l'], { tty: true, timeout: '20s' })
    execution.stdout.resume()
    await execution.pid
    const delay = monitorEventLoopDelay({ resolution: 5 })
    delay.enable()
    execution.stdin.end('some line of text\n'.repeat(20_000))
    expect(await execution).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/20000\r\n$/) })
    expect(delay.max / 1e6).toBeLessThan(500)
  })

  test('a size that is set at once is the first that the program sees', async () => {
    const execution = run(image, ['stty', 'size'], { tty: true })
    execution.resize(132, 43)
    expect((await execution).stdout).toBe('43 132\r\n')
  })

  test('a program that has ended before its output is asked for keeps the process waiting until it is there', async () => {
    // In a process of its own: nothing else keeps its event loop alive.
    const script = `
      const { run, Image } = require(${JSON.stringify(path.resolve('dist/index.cjs'))})
      Image.host().then(async (image) => {
        for (let i = 0; i < 20; i++) {
          const execution = run(image, ['echo', 'x'])
          await execution.pid
          execution.stdout.resume()
          await execution
        }
        console.log('done')
      })`
    expect(spawnSync(process.execPath, ['-e', script], { encoding: 'utf8' }).stdout).toBe('done\n')
  })

  test('what could not be started leaves no descriptor', async () => {
    const descriptors = () => readdirSync('/proc/self/fd').length
    const attempt = async () => {
      for (const options of [
        { maxOutput: 'x' },
        { mounts: [{ type: 'bind' as const, source: '/no/where', target: '/x' }] },
      ]) {
        const execution = run(image, ['true'], options)
        execution.stdin.write('x')
        execution.stdout.resume()
        await expect(execution).rejects.toMatchObject({ name: 'CaissonError' })
      }
    }
    await attempt()
    const before = descriptors()
    for (let i = 0; i < 20; i++) await attempt()
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(descriptors() - before).toBeLessThan(20)
  })

  test('a signal that comes while it starts is for the program', async () => {
    for (let delay = 0; delay < 8; delay++) {
      const execution = run(image, ['sleep', '1000'], { init: true, timeout: '20s' })
      setTimeout(() => execution.kill('SIGTERM'), delay)
      expect(await execution).toMatchObject({ exitCode: 143, reason: 'exit' })
    }
  })
})
