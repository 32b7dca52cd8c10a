/**
 * Compose files and files of variables that somebody else wrote, and that are small: to read them takes no longer, and no
 * more memory, than their size explains. What these took before is in the comments.
 */
import { execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { parseDotenv } from '../../../lib/compose/dotenv.js'
import { parseYaml } from '../../../lib/compose/yaml.js'
import { contentOf } from '../../../lib/project/files.js'
import { environmentOf, loadProject } from '../../../lib/project/load.js'

/** Far more than any of them needs, and far less than what they try to cost. */
const PATIENCE = 10_000
const REFUSED = expect.objectContaining({ code: 'ERR_CAISSON_COMPOSE' })

function quick<T>(work: () => T): T | unknown {
  const before = performance.now()
  try {
    return work()
  } catch (error) {
    return error
  } finally {
    expect(performance.now() - before).toBeLessThan(PATIENCE)
  }
}

const failure = (work: Promise<unknown>) =>
  work.then(
    () => undefined,
    (error: unknown) => error,
  )
const read = (text: string) => quick(() => parseDotenv(text, '.env', () => undefined))

describe('files of variables', () => {
  test.each(['"', "'"])('a quote (%s) that does not end is looked for once, not from each line on', (quote) => {
    // A minute for 30,000 lines.
    expect(read(`A=${quote}${'b\n'.repeat(500_000)}`)).toEqual(REFUSED)
    expect(read(`A=${quote}${'b\n'.repeat(500_000)}${quote} # end`)).toEqual(new Map([['A', 'b\n'.repeat(500_000)]]))
  })

  test('blanks that no comment follows are looked at once', () => {
    // Half a minute for 100,000.
    const blank = ' \t'.repeat(1_000_000)
    expect(read(`A=x${blank}y`)).toEqual(new Map([['A', `x${blank}y`]]))
    expect(read(`A=x${blank}# y`)).toEqual(new Map([['A', 'x']]))
  })

  test('values that double each other do not grow without end', () => {
    const lines = Array.from({ length: 40 }, (_, i) => `A${i + 1}=$A${i}$A${i}`)
    expect(read(['A0=xxxxxxxx', ...lines].join('\n'))).toEqual(REFUSED)
  })

  test('what quotes may hold is as before', () => {
    expect(read('A="x\\"y" # c\nB=\'x\\\'\nC="a\\\\"\nD="a\\\nb"\nE="one\n\n two"\nF=a#b #c\nG=#\nH=a\t#b')).toEqual(
      new Map(Object.entries({ A: 'x"y', B: 'x\\', C: 'a\\', D: 'a\\\nb', E: 'one\n\n two', F: 'a#b', G: '', H: 'a' })),
    )
    expect(read('A="x" y\nB="')).toEqual(REFUSED)
  })
})

describe('compose files', () => {
  test('aliases that repeat aliases are no more than memory holds', () => {
    const merged = `x-a: &a\n${Array.from({ length: 50_000 }, (_, i) => `  k${i}: 1\n`).join('')}`
    expect(quick(() => parseYaml(`${merged}x-b:\n${'  - <<: *a\n'.repeat(50_000)}`, 'compose.yaml'))).toEqual(REFUSED)
    const laughs = Array.from({ length: 30 }, (_, i) => `x-${i + 1}: &l${i + 1} [*l${i}, *l${i}]\n`)
    expect(quick(() => parseYaml(`x-0: &l0 [ha]\n${laughs.join('')}`, 'compose.yaml'))).toEqual(REFUSED)
    // Those of people are far from it.
    const services = Array.from({ length: 500 }, (_, i) => `  s${i}:\n    <<: *common\n    hostname: s${i}\n`)
    const text = `x-c: &common { image: a, environment: { A: 1, B: 2 } }\nservices:\n${services.join('')}`
    expect(parseYaml(text, 'compose.yaml')).toMatchObject({ kind: 'map' })
  })

  describe('that name others', () => {
    let directory: string
    beforeEach(() => {
      directory = mkdtempSync(path.join(tmpdir(), 'caisson-hostile-'))
    })
    afterEach(() => rmSync(directory, { recursive: true }))
    const write = (name: string, text: string) => writeFileSync(path.join(directory, name), text)

    test('each the next one twice: they are not read for ever', async () => {
      for (let i = 0; i < 40; i++) write(`${i}.yaml`, `include: [${i + 1}.yaml, ${i + 1}.yaml]\n`)
      write('40.yaml', 'services: { a: { image: b } }\n')
      const before = performance.now()
      await expect(loadProject(path.join(directory, '0.yaml'), { env: {} })).rejects.toEqual(REFUSED)
      expect(performance.now() - before).toBeLessThan(3 * PATIENCE)
    })

    test('what has no end is not read until memory has', async () => {
      // Half a gigabyte of zeros, which then were no string.
      const read = () => Number(/^rchar: (\d+)$/m.exec(readFileSync('/proc/self/io', 'utf8'))?.[1])
      const before = read()
      write('compose.yaml', 'include: [/dev/zero]\nservices: { a: { image: b, env_file: /dev/zero } }\n')
      await expect(loadProject(directory, { env: {} })).rejects.toEqual(REFUSED)
      write('compose.yaml', 'services: { a: { image: b, env_file: { path: /dev/zero, required: false } } }\n')
      const { model, lookup } = await loadProject(directory, { env: {} })
      await expect(environmentOf(model.services.get('a')?.env_file ?? [], lookup)).rejects.toEqual(REFUSED)
      symlinkSync('/dev/zero', path.join(directory, '.env'))
      await expect(loadProject(directory, { env: {} })).rejects.toEqual(REFUSED)
      const secret = { file: path.join(directory, '.env'), place: { path: '' } }
      await expect(contentOf(secret, () => undefined)).rejects.toEqual(REFUSED)
      expect(read() - before).toBeLessThan(200_000_000)
    })

    test.each(['pipe', 'socket', '/dev/zero'])('what is no file (%s) keeps nobody waiting', async (what) => {
      execFileSync('mkfifo', [path.join(directory, 'pipe')])
      const server = createServer().listen(path.join(directory, 'socket'))
      try {
        for (const [name, text] of [
          ['include', `include: [${what}]\nservices: { a: { image: b } }\n`],
          ['extends', `services: { a: { extends: { file: ${what}, service: a } } }\n`],
        ] as const) {
          write('compose.yaml', text)
          expect([name, await failure(loadProject(directory, { env: {} }))]).toEqual([name, REFUSED])
        }
        const named = `env_file: { path: ${what}, required: false }, label_file: ${what}`
        write('compose.yaml', `services: { a: { image: b, ${named} } }\nsecrets: { s: { file: ${what} } }\n`)
        const { model, lookup } = await loadProject(directory, { env: {} })
        const { env_file: env = [], label_file: labels = [] } = model.services.get('a') ?? {}
        await expect(environmentOf(env, lookup)).rejects.toEqual(REFUSED)
        await expect(environmentOf(labels, lookup)).rejects.toEqual(REFUSED)
        await expect(contentOf(model.secrets.get('s') as never, lookup)).rejects.toEqual(REFUSED)
        symlinkSync(what, path.join(directory, '.env'))
        await expect(loadProject(directory, { env: {} })).rejects.toEqual(REFUSED)
        rmSync(path.join(directory, '.env'))
        rmSync(path.join(directory, 'compose.yaml'))
        symlinkSync(what, path.join(directory, 'compose.yaml'))
        await expect(loadProject(directory, { env: {} })).rejects.toEqual(REFUSED)
      } finally {
        server.close()
      }
    })

    test('what the caller names may be a pipe; nothing, by its usual name, is nothing', async () => {
      const pipes = ['compose', 'variables'].map((name) => path.join(directory, name))
      execFileSync('mkfifo', pipes)
      const [compose = '', variables = ''] = pipes
      const script = 'sleep 0.2; echo TAG=t >"$2"; echo "$3" >"$1"'
      const text = 'services: { a: { image: "b:$TAG", env_file: /dev/null } }'
      const writer = spawn('sh', ['-c', script, 'sh', compose, variables, text])
      const ended = new Promise((resolve) => writer.once('exit', resolve))
      const { model, lookup } = await loadProject([compose], { env: {}, envFiles: ['/dev/null', variables] })
      expect(model.services.get('a')?.image).toBe('b:t')
      expect(await environmentOf(model.services.get('a')?.env_file ?? [], lookup)).toEqual({})
      await ended
    })

    test('services that extend each other are a chain with an end', async () => {
      const services = Array.from({ length: 20_000 }, (_, i) => `  s${i + 1}: { extends: s${i} }\n`)
      write('compose.yaml', `services:\n  s0: { image: a }\n${services.join('')}`)
      const before = performance.now()
      await expect(loadProject(directory, { env: {} })).rejects.toEqual(REFUSED)
      expect(performance.now() - before).toBeLessThan(PATIENCE)
      write('compose.yaml', `services:\n  s0: { image: a }\n${services.slice(0, 60).join('')}`)
      expect((await loadProject(directory, { env: {} })).model.services.size).toBe(61)
    })

    test('ranges of ports do not stand for more than there are, whoever repeats them', async () => {
      // 13 million, in 2 KB.
      write('compose.yaml', `services: { a: { image: b, ports: [${'"1-65535:1-65535", '.repeat(200)}] } }\n`)
      await expect(loadProject(directory, { env: {} })).rejects.toEqual(REFUSED)
      const services = Array.from({ length: 100 }, (_, i) => `  s${i}: *s\n`).join('')
      write('compose.yaml', `services:\n  s: &s { image: b, ports: ["1-65535:1-65535"] }\n${services}`)
      await expect(loadProject(directory, { env: {} })).rejects.toEqual(REFUSED)
      write('compose.yaml', 'services: { a: { image: b, ports: ["1-65535:1-65535/tcp", "1-65535:1-65535/udp"] } }\n')
      expect((await loadProject(directory, { env: {} })).model.services.get('a')?.ports?.length).toBe(131_070)
    })

    test('long lists go over each other in a time that their length explains', async () => {
      const list = (name: string) => Array.from({ length: 20_000 }, (_, i) => `${name}${i}`).join(', ')
      const base = `base: { image: a, expose: [${list('a')}] }`
      // Minutes for 20,000 each, hours for what a file can hold.
      write('compose.yaml', `services: { ${base}, s: { extends: base, expose: [a5, ${list('b')}] } }\n`)
      const before = performance.now()
      const { model } = await loadProject(directory, { env: {} })
      expect(performance.now() - before).toBeLessThan(PATIENCE)
      expect(model.services.get('s')?.expose?.length).toBe(40_000)
    })

    test('services that wait for each other are a chain with an end', async () => {
      const services = Array.from({ length: 20_000 }, (_, i) => `  s${i}: { image: a, depends_on: [s${i + 1}] }\n`)
      write('compose.yaml', `services:\n${services.join('')}  s20000: { image: a }\n`)
      const before = performance.now()
      await expect(loadProject(directory, { env: {} })).rejects.toEqual(REFUSED)
      expect(performance.now() - before).toBeLessThan(PATIENCE)
      write('compose.yaml', `services:\n${services.slice(0, 400).join('')}  s400: { image: a }\n`)
      expect((await loadProject(directory, { env: {} })).model.services.size).toBe(401)
    })
  })
})
