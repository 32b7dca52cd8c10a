import { Image, Pool } from '../../../lib/index.js'

describe('Pool', () => {
  let image: Image
  beforeAll(async () => {
    image = await Image.host()
  })

  test('runs each program in a fresh container', async () => {
    await using pool = new Pool(image, { size: 2 })
    await pool.ready()
    const results = await Promise.all(
      Array.from({ length: 6 }, (_, i) => pool.run(['sh', '-c', `hostname; ls /tmp; echo ${i} > /tmp/mark; echo $$`])),
    )
    expect(new Set(results.map((result) => result.stdout.split('\n')[0])).size).toBe(6)
    for (const result of results)
      expect(result).toMatchObject({ stdout: expect.stringMatching(/^[0-9a-f]{12}\n1\n$/), exitCode: 0 })
  })

  test('takes what an exec takes', async () => {
    await using pool = new Pool(image, { size: 1, limits: { memory: '64m' }, files: { '/app/x': 'file' } })
    const result = await pool.run(['sh', '-c', 'cat; echo $A; pwd; id -u; cat /app/x'], {
      input: 'in ',
      env: { A: 'a' },
      workdir: '/app',
      user: 33,
    })
    expect(result.stdout).toBe('in a\n/app\n33\nfile')
    expect((await pool.run(['cat', '/code/main'], { files: { '/code/main': 'its own' } })).stdout).toBe('its own')
    expect(await pool.run(['sleep', '10'], { timeout: 100 })).toMatchObject({ reason: 'timeout' })
    expect(await pool.run(['no-such'])).toMatchObject({ exitCode: 127 })
    expect((await pool.run(['tty'], { tty: true })).stdout).toBe('/dev/pts/0\r\n')
    const oom = await pool.run(['python3', '-c', 'bytearray(200 << 20)'])
    expect(oom.reason).toBe('oom')
  })

  test('streams like any run', async () => {
    await using pool = new Pool(image, { size: 1 })
    const execution = pool.run(['cat'])
    execution.stdin.end('piped')
    let text = ''
    for await (const { data } of execution) text += data
    expect(text).toBe('piped')
  })

  test('what cannot be prepared is an error of ready() and run()', async () => {
    await using pool = new Pool('no-such-image', { size: 1, pull: 'never' })
    await expect(pool.ready()).rejects.toMatchObject({ code: 'ERR_CAISSON_IMAGE_NOT_FOUND' })
    await expect(pool.run(['true'])).rejects.toMatchObject({ code: 'ERR_CAISSON_IMAGE_NOT_FOUND' })
    expect(() => new Pool(image, { size: 0 })).toThrow(
      expect.objectContaining({ code: 'ERR_CAISSON_INVALID_ARGUMENT' }),
    )
  })

  test('runs nothing after it is closed', async () => {
    const pool = new Pool(image, { size: 1 })
    await pool.ready()
    await pool[Symbol.asyncDispose]()
    await expect(pool.run(['true'])).rejects.toMatchObject({ code: 'ERR_CAISSON_INVALID_STATE' })
  })

  test('takes its programs with it', async () => {
    const pool = new Pool(image, { size: 1 })
    const running = pool.run(['sleep', '1000'])
    await running.pid
    await pool[Symbol.asyncDispose]()
    expect(await running).toMatchObject({ signal: 'SIGKILL', reason: 'signal' })
    expect(() => new Pool(image, undefined as never)).toThrow(
      expect.objectContaining({ code: 'ERR_CAISSON_INVALID_ARGUMENT' }),
    )
  })
})
