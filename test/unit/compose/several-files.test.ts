/** Projects of more than one file, or of files that take from others. */
import path from 'node:path'
import { loadProject } from '../../../lib/project/load.js'
import { ComposeFiles } from '../../support/compose-files.js'

let files: ComposeFiles
beforeEach(() => {
  files = new ComposeFiles()
})
afterEach(() => files.remove())

test('anchors, merge keys and fields of others', async () => {
  const { model } = await files.load(`
x-base: &base {image: i, environment: &env {A: 1, B: 2}}
services:
  a: {<<: *base, x-note: whatever}
  b: {<<: [{command: c}, *base], environment: {<<: *env, B: 3}}
`)
  expect(model.services.get('a')).toMatchObject({ image: 'i', environment: { A: '1', B: '2' } })
  expect(model.services.get('b')).toMatchObject({ image: 'i', command: ['c'], environment: { A: '1', B: '3' } })
})

test('include: paths and variables of its own, several deep, and what is in both alike', async () => {
  files.put({
    'inner/compose.yaml':
      'include: [deep/d.yaml]\nservices: {i: {image: "i:$TAG", volumes: [./d:/d]}}\nnetworks: {n: }\n',
    'inner/.env': 'TAG=inner\nOWN=x\n',
    'inner/deep/d.yaml': 'services: {d: {image: "d:$TAG$OWN"}}\nnetworks: {n: }\n',
    'more/over.yaml': 'services: {o: {command: over}}\n',
    'more/o.yaml': 'services: {o: {image: "o:$TAG", command: below, env_file: ./f}}\n',
    'more/vars': 'TAG=vars\n',
  })
  const text = `
include:
  - inner/compose.yaml
  - {path: [more/o.yaml, more/over.yaml], project_directory: inner, env_file: more/vars}
services: {own: {image: own, depends_on: [i]}}
networks: {n: }
`
  const { model } = await files.load(text)
  expect([...model.services.keys()].sort()).toEqual(['d', 'i', 'o', 'own'])
  expect(model.services.get('i')).toMatchObject({
    image: 'i:inner',
    volumes: [{ source: path.join(files.directory, 'inner/d') }],
  })
  expect(model.services.get('d')?.image).toBe('d:innerx')
  expect(model.services.get('o')).toMatchObject({
    image: 'o:vars',
    command: ['over'],
    env_file: [{ path: path.join(files.directory, 'inner/f') }],
  })
  // Those of the file that includes come first, and one that goes over it may change what was included.
  files.put({ 'over.yaml': 'services: {i: {command: changed}}\n' })
  const given = ['compose.yaml', 'over.yaml'].map((name) => path.join(files.directory, name))
  const over = await loadProject(given, { env: { TAG: 'given' }, projectName: 'p' })
  expect(over.model.services.get('i')).toMatchObject({ image: 'i:given', command: ['changed'] })
  expect(
    (await files.error(`${text}volumes: {v: }\n`.replace('own: {image', 'i: {image: x}, own: {image'))).message,
  ).toContain('services.i is in both files')
})

test('extends: of another file, with its own paths, and several deep', async () => {
  files.put({
    'lib/base.yaml': `
services:
  base: {image: b, volumes: ["./d:/d", "/x"], environment: [A=1, B=1], ports: ["1:1"], command: old, cap_add: [A], dns: 1.1.1.1, healthcheck: {test: a, retries: 5}}
  middle: {extends: base, environment: {B: 2}}
`,
  })
  const { model } = await files.load(`
services:
  s:
    extends: {file: lib/base.yaml, service: middle}
    image: own
    environment: {C: 3}
    ports: ["2:2", "1:1"]
    volumes: ["./own:/d"]
    command: [new]
    cap_add: [B, A]
    dns: [2.2.2.2]
    healthcheck: {retries: 9}
`)
  const s = model.services.get('s')
  expect(s).toMatchObject({
    image: 'own',
    environment: { A: '1', B: '2', C: '3' },
    command: ['new'],
    cap_add: ['A', 'B'],
    dns: ['1.1.1.1', '2.2.2.2'],
    healthcheck: { test: ['CMD-SHELL', 'a'], retries: 9 },
  })
  expect(s?.ports?.map(({ target }) => target)).toEqual([1, 2])
  expect(s?.volumes?.map(({ source, target }) => [source, target])).toEqual([
    [path.join(files.directory, 'own'), '/d'],
    [undefined, '/x'],
  ])
})

test('an override beside it, with !override and !reset', async () => {
  files.put({
    'compose.override.yaml': `
services:
  a: {environment: {B: 9}, ports: !override ["5:5"], command: !reset null}
  b: {image: extra}
`,
  })
  const { model } = await files.load(
    'services: {a: {image: i, environment: {A: 1, B: 1}, ports: ["1:1"], command: c}}\n',
  )
  expect(model.services.get('a')).toMatchObject({ environment: { A: '1', B: '9' }, ports: [{ target: 5 }] })
  expect(model.services.get('a')?.command).toBeUndefined()
  expect([...model.services.keys()]).toEqual(['a', 'b'])
})

test('the name: given, of the environment, of the file, of the directory', async () => {
  files.put({ 'compose.yaml': 'name: ${N:-written}\nservices: {a: {image: "${COMPOSE_PROJECT_NAME}"}}\n' })
  const name = async (given: object) => (await loadProject(files.directory, { env: {}, ...given })).model
  expect((await name({ projectName: 'given' })).name).toBe('given')
  expect((await name({ env: { COMPOSE_PROJECT_NAME: 'env' } })).services.get('a')?.image).toBe('env')
  expect((await name({ env: { N: 'n' } })).name).toBe('n')
  files.put({ 'My.App_1/compose.yaml': 'services: {a: {image: i}}\n' })
  expect((await loadProject(path.join(files.directory, 'My.App_1'), { env: {} })).model.name).toBe('myapp_1')
  await expect(loadProject(files.directory, { projectName: '../x' })).rejects.toMatchObject({
    code: 'ERR_CAISSON_INVALID_ARGUMENT',
  })
})
