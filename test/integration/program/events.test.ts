import { execFileSync } from 'node:child_process'
import { channel } from 'node:diagnostics_channel'
import path from 'node:path'
import { Container, Image, run } from '../../../lib/index.js'

describe('what happens', () => {
  const seen: Array<{ name: string; kind?: string; container?: string; command?: string[]; error?: { code: string } }> =
    []
  const watch = (message: unknown, name: string | symbol) => {
    seen.push({ name: String(name), ...(message as object) })
  }
  const channels = ['start', 'exit', 'error'].map((name) => channel(`caisson:${name}`))
  beforeEach(() => {
    seen.length = 0
    for (const each of channels) each.subscribe(watch)
  })
  afterEach(() => {
    for (const each of channels) each.unsubscribe(watch)
  })

  test('is told of runs, containers and execs', async () => {
    const image = await Image.host()
    await run(image, ['sh', '-c', 'exit 3'])
    expect(seen).toEqual([
      expect.objectContaining({ name: 'caisson:start', kind: 'run', pid: expect.any(Number) }),
      expect.objectContaining({ name: 'caisson:exit', command: ['sh', '-c', 'exit 3'], exitCode: 3, reason: 'exit' }),
    ])
    expect(seen[0]?.container).toBe(seen[1]?.container)

    seen.length = 0
    const container = await Container.create(image, { command: ['sleep', '1000'] })
    await container.start()
    await container.exec(['true'])
    await container.remove({ force: true })
    expect(seen.map(({ name, kind, container }) => [name, kind, container])).toEqual([
      ['caisson:start', 'container', container.id],
      ['caisson:start', 'exec', container.id],
      ['caisson:exit', 'exec', container.id],
      ['caisson:exit', 'container', container.id],
    ])
  })

  test('is told of what could not be started', async () => {
    await run(await Image.host(), ['true'], { workdir: '/etc/passwd' }).catch(() => undefined)
    expect(seen).toEqual([
      expect.objectContaining({
        name: 'caisson:error',
        kind: 'run',
        error: expect.objectContaining({ stage: 'workdir' }),
      }),
    ])
  })

  test('is printed with NODE_DEBUG=caisson', () => {
    const script = path.join(__dirname, '../../support/once.mjs')
    const out = execFileSync('sh', ['-c', `${process.execPath} ${script} 2>&1`], {
      env: { ...process.env, NODE_DEBUG: 'caisson' },
      encoding: 'utf8',
    })
    expect(out).toMatch(/^CAISSON \d+: run [0-9a-f]{64}: started \["echo","hello"\] as \d+$/m)
    expect(out).toMatch(/^CAISSON \d+: run [0-9a-f]{64}: ended by exit, 0, after [\d.]+ ms$/m)
  })
})
