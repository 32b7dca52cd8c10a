/** What images, compose files and programs hold, as a terminal gets it: it must do nothing of what they say. */
import { Writable } from 'node:stream'
import { parse } from 'yaml'
import { configCommand } from '../../../lib/cli/compose-config.js'
import { LogPrinter, type LogStyle } from '../../../lib/cli/compose-log.js'
import { parseFlags } from '../../../lib/cli/flags.js'
import { FORMS, forEachName, printList } from '../../../lib/cli/listing.js'
import { commandsOfKept } from '../../../lib/cli/subcommands.js'
import { compose } from '../../../lib/index.js'

/** Sets the clipboard, clears the screen, and the same in one character; deletes; and colours. */
const EVIL = '\x1b]52;c;ZXZpbA==\x07\x1b[2J\u009b2J\u009d0;t\u009c\x7f\u0085'
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be there
const OBEYED = /[\x00-\x08\x0b-\x1f\x7f-\x9f]/

let printed: string
const capture = (chunk: string | Uint8Array) => {
  printed += String(chunk)
  return true
}
beforeEach(() => {
  printed = ''
  jest.spyOn(process.stdout, 'write').mockImplementation(capture)
  jest.spyOn(process.stderr, 'write').mockImplementation(capture)
})
afterEach(() => jest.restoreAllMocks())

describe('caisson compose config, which is how one looks at what somebody wrote', () => {
  const file = {
    services: {
      web: {
        image: 'i',
        profiles: ['on', `p${EVIL}`],
        environment: { A: EVIL, [`B${EVIL}`]: `one\n${EVIL}\nthree`, C: 'plain \u00e9\u4e2d' },
        labels: { [EVIL]: '\u009b' },
        secrets: [`s${EVIL}`],
      },
      other: { image: `image${EVIL}` },
    },
    volumes: { [`v${EVIL}`]: {} },
    networks: { [`n${EVIL}`]: {} },
    secrets: { [`s${EVIL}`]: { content: EVIL } },
  }
  const config = async (...args: string[]) => {
    const project = await compose(file, { projectName: 'p', profiles: ['*'], env: {} })
    expect(await configCommand.run(project, parseFlags(configCommand.flags, args).flags, [])).toBe(0)
    return project.config()
  }

  test('as YAML it says the same', async () => {
    const said = await config()
    expect(printed).not.toMatch(OBEYED)
    expect(parse(printed)).toEqual(said)
    expect(said.services.web?.environment).toMatchObject({ A: EVIL, C: 'plain \u00e9\u4e2d' })
  })

  test('as JSON it says the same', async () => {
    const said = await config('--format', 'json')
    expect(printed).not.toMatch(OBEYED)
    expect(JSON.parse(printed)).toEqual(said)
  })

  test.each(['services', 'images', 'volumes', 'networks', 'profiles'])('names of %s', async (kind) => {
    await config(`--${kind}`)
    expect(printed).toMatch(/\w/)
    expect(printed).not.toMatch(OBEYED)
  })
})

describe('lines of logs', () => {
  const show = async (style: Partial<LogStyle>) => {
    let text = ''
    const to = new Writable({
      write(chunk, _, done) {
        text += chunk
        done()
      },
    })
    const printer = new LogPrinter(to, { color: true, terminal: true, prefix: false, timestamps: false, ...style })
    const data = Buffer.from(`\x1b[31mred${EVIL}\x1b[0m\n`)
    await printer.print({ service: 's', container: 'c', time: new Date(), stream: 'stdout', data })
    return text
  }

  test.each([true, false])('at a terminal, whether we print colours (%p) or not', async (color) => {
    expect(await show({ color })).toBe('\x1b[31mred]52;c;ZXZpbA==2J0;t\x1b[0m\n')
  })

  test('for a file they are what was printed', async () => {
    expect(await show({ color: false, terminal: false })).toBe(`\x1b[31mred${EVIL}\x1b[0m\n`)
  })
})

describe('what is listed and inspected', () => {
  const list = (...args: string[]) => {
    const fields = { ID: '1', Labels: `a=${EVIL}` }
    printList(parseFlags(FORMS, args).flags, [['ID', 'ID']], [{ id: '1', fields, json: fields }])
    return printed
  }

  test('labels of images, by whatever format', () => {
    expect(list('--format', '\x1b[1m{{.ID}}\x1b[0m {{.Labels}}')).toBe('\x1b[1m1\x1b[0m a=]52;c;ZXZpbA==2J0;t\n')
    printed = ''
    for (const form of [['--json'], ['--format', 'json']]) {
      expect(JSON.parse(list(...form))).toEqual({ ID: '1', Labels: `a=${EVIL}` })
      expect(printed).not.toMatch(OBEYED)
      printed = ''
    }
  })

  test('what is inspected, and what an error quotes', async () => {
    const { inspect } = commandsOfKept({
      kind: 'volume',
      get: async () => ({ inspect: () => ({ labels: { [EVIL]: EVIL } }), remove: async () => undefined }),
      notFound: 'ERR_CAISSON_VOLUME_NOT_FOUND',
      removal: { summary: '', description: '' },
    })
    await inspect.run(parseFlags([], []).flags, ['v'])
    expect(JSON.parse(printed)).toEqual([{ labels: { [EVIL]: EVIL } }])
    expect(printed).not.toMatch(OBEYED)
    printed = ''
    expect(await forEachName(['v'], () => Promise.reject(new Error(`it holds ${EVIL}`)))).toBe(1)
    expect(printed).toBe('caisson: it holds ]52;c;ZXZpbA==2J0;t\n')
  })
})
