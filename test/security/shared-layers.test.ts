/** Two containers over the same read-only files: what one does with a file that the other can notice. */
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { Container, type Mount } from '../../lib/index.js'
import { begun, hostImage, python } from '../support/attack.js'
import { removeScratch, scratch } from '../support/tree.js'

afterAll(removeScratch)

const FILE = '/layer/file'

/** What one holds, and the other tries or waits for. */
const CHANNELS: Array<[string, string, string, string]> = [
  [
    'a lock',
    `import fcntl\nfile = open("${FILE}")\nfcntl.flock(file, fcntl.LOCK_EX)`,
    `import fcntl\nfile = open("${FILE}")\nprint(tried(lambda: fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)))`,
    'EAGAIN',
  ],
  [
    // Nobody else may have it open then.
    'that it is open, by a lease',
    `file = open("${FILE}")`,
    `import fcntl\nfile = open("${FILE}")\nprint(tried(lambda: fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)))`,
    'EAGAIN',
  ],
  [
    'what is opened',
    `
import threading
def again():
    while True: open("${FILE}").close()
threading.Thread(target=again, daemon=True).start()`,
    `
import select
fd = libc.inotify_init()
libc.inotify_add_watch(fd, b"${FILE}", 0x20)
print("EAGAIN" if select.select([fd], [], [], 0.5)[0] else "done")`,
    'EAGAIN',
  ],
]

async function noticed(mount: Omit<Mount, 'target'>, hold: string, look: string): Promise<string> {
  const make = async () =>
    Container.create(await hostImage(), { command: ['sleep', '1000'], mounts: [{ ...mount, target: '/layer' }] })
  await using one = await make()
  await using other = await make()
  await Promise.all([one.start(), other.start()])
  const holder = one.exec(python(`${hold}\nimport time\nprint("held")\ntime.sleep(1000)`))
  await begun(holder)
  const { stdout, stderr } = await other.exec(python(look))
  expect(stderr).toBe('')
  holder.kill()
  await holder
  return stdout.trim()
}

describe.each(CHANNELS)('%s', (_name, hold, look, answer) => {
  const layer = () => {
    const directory = scratch()
    writeFileSync(path.join(directory, 'file'), 'content')
    return directory
  }

  test('is not noticed through layers of an image', async () => {
    expect(await noticed({ type: 'overlay', source: layer() }, hold, look)).toBe('done')
  })

  /** As are the files of Image.host(): said in docs/threat-model.md. */
  test('is noticed where both are given the file itself', async () => {
    expect(await noticed({ type: 'bind', source: layer(), readOnly: true }, hold, look)).toBe(answer)
  })
})
