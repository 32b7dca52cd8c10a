/** Builds of the same input are the same image, wherever and by whomever they are made. */
import { execFileSync } from 'node:child_process'
import { closeSync, openSync, rmSync } from 'node:fs'
import path from 'node:path'
import { Image } from '../../../lib/index.js'
import { boxForTests } from '../../support/build.js'
import { noBusybox } from '../../support/busybox-image.js'
import { isRoot, testIf } from '../../support/needs.js'
import { scratch } from '../../support/tree.js'

boxForTests()
const SCRIPT = 'test/support/build-same.mjs'
const places: string[] = []
afterAll(() => {
  for (const place of places) rmSync(place, { recursive: true, force: true })
})

testIf(noBusybox || (!isRoot && 'only root becomes another user'))(
  'with SOURCE_DATE_EPOCH in two stores, and by root and by an ordinary user',
  async () => {
    const archive = path.join(scratch(), 'box.tar')
    await (await Image.get('box:1')).save(archive)
    /** Each in a store of its own, which its user makes. */
    const built = (words: string[]) => {
      const shell = ['sh', '-c', 'CAISSON_ROOT=$(mktemp -d) exec "$@"', 'sh', process.execPath, SCRIPT]
      const [file, ...args] = [...words, ...shell] as [string, ...string[]]
      const input = openSync(archive, 'r')
      try {
        const said = execFileSync(file, args, { encoding: 'utf8', stdio: [input, 'pipe', 'inherit'] })
        const [digest, place] = said.trim().split(' ') as [string, string]
        places.push(place)
        return digest
      } finally {
        closeSync(input)
      }
    }
    const [one, two] = [built([]), built([])]
    expect(one).toMatch(/^sha256:[0-9a-f]{64}$/)
    expect(two).toBe(one)
    expect(built([process.execPath, 'scripts/as-user.mjs'])).toBe(one)
  },
  120_000,
)
