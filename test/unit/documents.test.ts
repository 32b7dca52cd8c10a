import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'

const root = path.resolve(__dirname, '../..')
const read = (file: string) => readFileSync(path.join(root, file), 'utf8')
const folders = ['.', 'docs']
const documents = folders.flatMap((folder) =>
  readdirSync(path.join(root, folder))
    .filter((name) => name.endsWith('.md'))
    .map((name) => path.join(folder, name)),
)

/** As GitHub makes them of headings. */
const anchorsOf = (file: string) =>
  [...read(file).matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\w\- ]/g, '')
      .replaceAll(' ', '-'),
  )

test.each(documents)('%s leads to files and headings that are there', (document) => {
  const links = [...read(document).matchAll(/\]\(([^)]+)\)/g)].map(([, link]) => link as string)
  for (const link of links.filter((each) => !each.startsWith('https://'))) {
    const [file = '', anchor] = link.split('#')
    const target = file === '' ? document : path.join(path.dirname(document), file)
    expect([link, existsSync(path.join(root, target))]).toEqual([link, true])
    if (anchor !== undefined) expect(anchorsOf(target)).toContain(anchor)
  }
})

test.each(documents)('%s names files that are there', (document) => {
  const names = [...read(document).matchAll(/`((?:addon|bench|docs|examples|lib|runtime|scripts|test)\/[\w./-]+)`/g)]
  for (const [, name = ''] of names) {
    const places = [name, path.join('lib', name)].map((place) => path.join(root, place))
    expect([name, places.some((place) => existsSync(place))]).toEqual([name, true])
  }
})

test('every error code is explained, and no other', () => {
  const codes = [...read('lib/errors.ts').matchAll(/'(ERR_CAISSON_\w+)'/g)].map(([, code]) => code)
  const explained = [...read('docs/errors.md').matchAll(/^\| `(ERR_CAISSON_\w+)`/gm)].map(([, code]) => code)
  expect([...explained].sort()).toEqual([...new Set(codes)].sort())
})

test('every environment variable that is read is told of', () => {
  const files = readdirSync(path.join(root, 'lib'), { recursive: true, encoding: 'utf8' })
  const text = files.filter((file) => file.endsWith('.ts')).map((file) => read(path.join('lib', file)))
  const names = text.flatMap((each) => [...each.matchAll(/env\.(CAISSON_\w+)/g)].map(([, name]) => name as string))
  const told = documents.map(read).join('\n')
  expect(new Set(names).size).toBeGreaterThanOrEqual(2)
  for (const name of names) expect(told).toContain(`\`${name}`)
})
