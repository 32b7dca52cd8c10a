/** What docker-compose makes of the same files: variables, merging and short forms. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { parse } from 'yaml'
import { loadProject } from '../../../lib/project/load.js'
import { findProgram, testIf } from '../../support/needs.js'

const peer = findProgram('docker-compose')
const it = testIf(!peer && 'no docker-compose')
const directory = mkdtempSync(path.join(tmpdir(), 'caisson-compose-config-'))
afterAll(() => rmSync(directory, { recursive: true, force: true }))

const VARIABLES = { SET: 'value', EMPTY: '', PORT: '8080' }

interface Peer {
  services: Record<
    string,
    {
      image: string
      environment?: Record<string, string | null>
      labels?: Record<string, string>
      depends_on?: Record<string, unknown> | string[]
      volumes?: Array<string | { source?: string; target: string }>
      ports?: Array<string | { target: number; published?: number }>
      cap_add?: string[]
      hostname?: string
    }
  >
}

/** Its output is a compose file again, with `$` doubled. */
function theirs(...files: string[]): Peer {
  const args = files.flatMap((file) => ['-f', file])
  const text = execFileSync(peer as string, [...args, 'config'], {
    cwd: directory,
    encoding: 'utf8',
    env: { PATH: process.env.PATH, HOME: '/nowhere', ...VARIABLES },
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  return parse(text.replaceAll('$$', '$')) as Peer
}

async function compare(files: Record<string, string>, ...given: string[]): Promise<void> {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(directory, name)), { recursive: true })
    writeFileSync(path.join(directory, name), text)
  }
  const { services } = theirs(...given)
  const paths = given.map((name) => path.join(directory, name))
  const { model } = await loadProject(paths, { env: { ...VARIABLES, HOME: '/nowhere' } })
  expect(Object.keys(services).sort()).toEqual([...model.services.keys()].sort())
  for (const [name, wanted] of Object.entries(services)) {
    const own = model.services.get(name)
    expect(own?.image).toBe(wanted.image)
    expect(own?.hostname).toBe(wanted.hostname)
    expect(own?.labels ?? {}).toEqual(wanted.labels ?? {})
    const env = Object.entries(wanted.environment ?? {}).map(([key, value]) => [key, value ?? undefined])
    expect(own?.environment ?? {}).toEqual(Object.fromEntries(env))
    const needs = Array.isArray(wanted.depends_on) ? wanted.depends_on : Object.keys(wanted.depends_on ?? {})
    expect(Object.keys(own?.depends_on ?? {}).sort()).toEqual([...needs].sort())
    expect([...(own?.cap_add ?? [])].sort()).toEqual([...(wanted.cap_add ?? [])].sort())
    const targets = (wanted.volumes ?? []).map((each) => {
      if (typeof each !== 'string') return [each.source, each.target]
      const parts = each.split(':')
      return parts.length === 1 ? [undefined, parts[0]] : parts.slice(0, 2)
    })
    expect((own?.volumes ?? []).map(({ source, target }) => [source, target]).sort()).toEqual(targets.sort())
    const ports = (wanted.ports ?? []).map((each) => {
      if (typeof each !== 'string') return [each.published, each.target]
      const [, published, target] = /^(?:[\d.]+:)?(?:(\d+):)?(\d+)\/tcp$/.exec(each) ?? []
      return [published === undefined ? undefined : Number(published), Number(target)]
    })
    expect((own?.ports ?? []).map(({ published, target }) => [published?.first, target]).sort()).toEqual(ports.sort())
  }
}

it('variables', async () => {
  await compare(
    {
      'variables.yaml': `
version: "3.8"
services:
  a:
    image: "image:\${SET}"
    hostname: \${EMPTY:-host}
    environment:
      A: $SET
      B: \${UNSET:-d e f}
      C: "\${EMPTY-x}"
      D: "\${EMPTY:-x}"
      E: "$$SET $\${SET}"
      F: "\${UNSET-\\"q\\"}"
      G: "\${SET:?no}"
      SET:
    labels:
      - "a=\${PORT}"
      - b
    ports: ["\${PORT}:80", "81", "127.0.0.1:82:83"]
`,
    },
    'variables.yaml',
  )
})

it('files over each other', async () => {
  await compare(
    {
      'one.yaml': `
version: "3.8"
x-env: &env {A: "1", B: "1"}
services:
  a: &a
    image: one
    environment: *env
    volumes: ["./d:/d", "v:/v", "/x"]
    depends_on: [b]
    cap_add: [A]
    labels: {l: "1"}
    ports: ["1:1"]
  b: {image: b}
  c: {<<: *a, image: c}
volumes: {v: {}}
`,
      'two.yaml': `
version: "3.8"
services:
  a:
    image: two
    environment: [B=2, "C=$SET"]
    volumes: ["./e:/d"]
    depends_on: [c]
    cap_add: [B]
    labels: [m=2]
    ports: ["2:2"]
`,
    },
    'one.yaml',
    'two.yaml',
  )
})

it('extends', async () => {
  await compare(
    {
      'sub/base.yaml': `
version: "2.4"
services:
  base: {image: base, environment: {A: "1", B: "1"}, volumes: ["./d:/d"], labels: {x: y}}
`,
      'extends.yaml': `
version: "2.4"
services:
  a:
    extends: {file: sub/base.yaml, service: base}
    environment: [B=2]
    volumes: ["./d:/own"]
  b:
    extends: a
    image: own
`,
    },
    'extends.yaml',
  )
})
