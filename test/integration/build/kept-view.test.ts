/** Copies that come one after the other see what those before them made, as if each looked at the layers anew. */
import { existsSync, readdirSync, symlinkSync } from 'node:fs'
import path from 'node:path'
import { type BuildOptions, Container, Image } from '../../../lib/index.js'
import { boxForTests, build, contextOf, failure } from '../../support/build.js'
import { noBusybox } from '../../support/busybox-image.js'
import { testIf } from '../../support/needs.js'

boxForTests()
const withBusybox = testIf(noBusybox)

const USERS = 'root:x:0:0:root:/:/bin/sh\n'

function makeContext(): string {
  const context = contextOf({
    'a.txt': 'a',
    'b.txt': 'b',
    'hides/x': 'a file in place of a directory',
    'links/': '',
    'names/': '',
    'names-too/': '',
    'users/passwd': `${USERS}app:x:99:98::/:/bin/sh\n`,
    'deep/one/two.txt': 'two',
    passwd: `${USERS}app:x:1234:5678::/:/bin/sh\n`,
    'passwd.later': `${USERS}app:x:4321:8765::/:/bin/sh\n`,
    group: 'app:x:5678:\n',
  })
  symlinkSync('/real', path.join(context, 'links/to-real'))
  symlinkSync('/tmp', path.join(context, 'links/to-tmp'))
  symlinkSync('/names/passwd', path.join(context, 'names/passwd'))
  symlinkSync('/users/passwd', path.join(context, 'names-too/passwd'))
  symlinkSync('/real', path.join(context, 'users/to-real'))
  return context
}

const STEPS = [
  'COPY a.txt /d/e/',
  'COPY b.txt /d/e/a.txt',
  'WORKDIR /d/w',
  'COPY a.txt .',
  'COPY links a.txt /links/',
  // Through links that an earlier copy brought: to what is not there yet, and to what is.
  'COPY a.txt /links/to-tmp/below/',
  'COPY deep /links/to-real',
  'COPY b.txt /real/one/',
  'COPY a.txt /d/x/y/z',
  'COPY hides /d',
  'COPY b.txt /d/x',
  'COPY deep /deep',
  'COPY deep /beside',
  'COPY b.txt /beside/b.txt',
  'COPY a.txt /deep/one/two.txt',
  'COPY --link b.txt /deep/one/',
  'COPY a.txt /deep/one/b.txt',
  'COPY --link deep a.txt /links/to-tmp/',
  'COPY b.txt /links/to-tmp/b.txt',
  'COPY passwd group /etc/',
  'COPY --chown=app:app a.txt /owned/one/a.txt',
  'COPY --chown=app b.txt /owned/two/b.txt',
  'COPY passwd.later /etc/passwd',
  'COPY --chown=app a.txt /owned/three/a.txt',
  'COPY passwd /names/passwd',
  'COPY names a.txt /etc/',
  'COPY --chown=app a.txt /owned/four/a.txt',
  'COPY passwd.later /names/passwd',
  'COPY --chown=app a.txt /owned/five/a.txt',
  // What stands for all below it has the names of users, and a link.
  'COPY users /users',
  'COPY names-too a.txt /etc/',
  'COPY --chown=app a.txt /owned/seven/a.txt',
  'COPY a.txt /users/to-real/under/',
  'RUN rm -r /d/e && ln -s /real /d/e && mkdir /owned/six',
  'COPY --chmod=u=rwx,go= a.txt /d/e/after.txt',
  'COPY a.txt /owned/six/a.txt',
  'COPY <<-END /d/text/here\n\ttext\n\tEND',
  'ADD --chown=7:7 a.txt /d/text/',
]

const asked = (context: string, steps: readonly string[], more: BuildOptions = {}) =>
  build(`FROM box:1\n${steps.join('\n')}\n`, { context, args: { SOURCE_DATE_EPOCH: '1700000000' }, ...more })

withBusybox(
  'layers are those of builds that make one step each',
  async () => {
    const context = makeContext()
    const alone: Image[] = []
    for (const count of STEPS.keys()) {
      const { image, steps } = await asked(context, STEPS.slice(0, count + 1))
      // All but the last one were there: it looked at layers that others had made.
      expect(steps.map((step) => step.endsWith(': cached'))).toEqual([...Array(count).fill(true), false])
      alone.push(image)
    }
    const { image } = await asked(context, STEPS, { noCache: true })
    expect(image.layers).toEqual(alone.at(-1)?.layers)
    expect(image.id).toBe(alone.at(-1)?.id)
  },
  120_000,
)

withBusybox('nothing is copied below a file, whatever was there before', async () => {
  const context = makeContext()
  const steps = ['COPY a.txt /d/x/y', 'COPY hides /d', 'COPY b.txt /d/x/y/']
  const error = await failure(asked(context, steps))
  expect(error).toMatchObject({ code: 'ERR_CAISSON_DOCKERFILE', location: { line: 4 } })
  expect(error.message).toContain('/d/x')
  expect(await failure(asked(context, ['COPY a.txt /d/x', 'WORKDIR /d/x/y']))).toMatchObject({ location: { line: 3 } })
})

describe('nothing is left of a stage', () => {
  const containers = async () => (await Container.list()).map(({ id }) => id)
  const builds = () => {
    const owners = path.join(process.env.CAISSON_ROOT as string, 'owners')
    const places = readdirSync(owners).map((owner) => path.join(owners, owner, 'builds'))
    return places.flatMap((place) => (existsSync(place) ? readdirSync(place) : []))
  }

  withBusybox('that is done, or fails at a later copy', async () => {
    const context = makeContext()
    const before = await containers()
    await asked(context, ['COPY a.txt /one/', 'COPY b.txt /one/'], { noCache: true })
    expect(await containers()).toEqual(before)
    await failure(asked(context, ['COPY a.txt /one/', 'COPY b.txt /one/', 'COPY a.txt /one/a.txt/'], { noCache: true }))
    expect(await containers()).toEqual(before)
    expect(builds()).toEqual([])
  })

  withBusybox('that is cancelled between two copies', async () => {
    const context = makeContext()
    const before = await containers()
    const abort = new AbortController()
    const building = Image.build({
      context,
      dockerfile: { text: 'FROM box:1\nCOPY a.txt /one/\nCOPY b.txt /one/\nCOPY a.txt /two/\n' },
      noCache: true,
      network: 'none',
      signal: abort.signal,
      onProgress: (event) => {
        if (event.type === 'step' && event.status === 'started' && event.index === 2) abort.abort()
      },
    })
    expect(await failure(building)).toMatchObject({ code: 'ERR_CAISSON_ABORTED' })
    expect(await containers()).toEqual(before)
    expect(builds()).toEqual([])
  })
})

withBusybox('many copies of files tell nobody of too many listeners', async () => {
  const warnings: Error[] = []
  const warn = (warning: Error) => warnings.push(warning)
  process.on('warning', warn)
  try {
    const names = Array.from({ length: 30 }, (_, index) => `f${index}`)
    const context = contextOf(Object.fromEntries(names.map((name) => [name, name])))
    await asked(
      context,
      names.map((name) => `COPY ${name} /d/`),
    )
    // Warnings come with the next turn.
    await new Promise((resolve) => setImmediate(resolve))
  } finally {
    process.off('warning', warn)
  }
  expect(warnings.map(({ name }) => name)).not.toContain('MaxListenersExceededWarning')
})
