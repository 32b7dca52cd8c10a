/** The terminal of whoever starts a container: pushing input into it is typing commands there (CVE-2017-5226). */
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { run } from '../../lib/index.js'
import { hostImage, python } from '../support/attack.js'
import { findProgram, testIf } from '../support/needs.js'
import { removeScratch, scratch } from '../support/tree.js'

afterAll(removeScratch)
const root = path.resolve(__dirname, '../..')

/** Says which terminal it can get hold of: by its name, and by the descriptors that it was given. */
const REACH = `
def own(): os.close(os.open("/dev/tty", os.O_RDWR))
print("tty", tried(own), "given", [fd for fd in range(3) if os.isatty(fd)])
import fcntl
print("push", tried(lambda: fcntl.ioctl(0, 0x5412, b"x")), "paste", tried(lambda: fcntl.ioctl(0, 0x541c, b"\\\\x03")))`

const inTerminal = testIf(!findProgram('script') && 'no script')

function withTerminal(lines: string): string {
  const file = path.join(scratch(), 'attack.mjs')
  writeFileSync(file, lines)
  return spawnSync('script', ['-qec', `${process.execPath} ${file}`, '/dev/null'], { cwd: root, encoding: 'utf8' })
    .stdout
}

describe('the terminal of the owner', () => {
  const command = JSON.stringify(python(REACH))

  inTerminal('cannot be reached from a container', async () => {
    const said = withTerminal(`import { Image, run } from ${JSON.stringify(path.join(root, 'dist/index.js'))}
      const { stdout } = await run(await Image.host(), ${command})
      console.log(stdout)`)
    expect(said).toMatch(/tty ENXIO given \[\]/)
    expect(said).toMatch(/push ENOTTY paste ENOTTY/)
  })

  inTerminal('can be from a child of the same process', async () => {
    const said = withTerminal(`import { spawnSync } from 'node:child_process'
      const [file, ...args] = ${command}
      spawnSync(file, args, { stdio: 'inherit' })`)
    expect(said).toMatch(/tty done given \[0, 1, 2\]/)
  })

  test('a container’s own is of a devpts of its own', async () => {
    const look = 'print(os.ttyname(0), os.listdir("/dev/pts"), os.stat("/dev/pts").st_dev != os.stat("/dev").st_dev)'
    const { stdout } = await run(await hostImage(), python(look), { tty: true })
    expect(stdout.trim()).toBe("/dev/pts/0 ['0', 'ptmx'] True")
  })
})
