/** Other users of the machine who may write where this one keeps its things. */
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, readdirSync, symlinkSync } from 'node:fs'
import path from 'node:path'
import { pathToFileURL } from 'node:url'
import { packageRoot } from '../../lib/native/load.js'
import { isRoot, testIf } from '../support/needs.js'
import { removeScratch, scratch } from '../support/tree.js'

afterAll(removeScratch)

/** The end of a process that runs something, with its things in that directory. */
function start(place: string) {
  const library = pathToFileURL(path.join(packageRoot(), 'dist/index.js')).href
  const script = `import { Image, run } from '${library}'
    const work = async () => (await run(await Image.host(), ['true'])).exitCode
    const told = await work().catch(({ code }) => code)
    console.log(told)`
  const env = { ...process.env, CAISSON_ROOT: place }
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    env,
    encoding: 'utf8',
  })
  return stdout.trim() || stderr
}

/** A directory for our things, and another with things of the caller's. */
function places(mode: number) {
  const [place, victim] = [scratch(), scratch()]
  mkdirSync(path.join(victim, 'directory'))
  chmodSync(place, mode)
  return { place, victim }
}

testIf(!isRoot && 'only root can be somebody else')(
  'a directory that others may write to is not used: what they put there would be removed, or run, as ours',
  async () => {
    // What lies where owners have their things, and has no live owner, is a dead one's.
    const { place, victim } = places(0o777)
    const plant = `require('node:fs').symlinkSync('${victim}', '${path.join(place, 'owners')}')`
    expect(spawnSync(process.execPath, ['-e', plant], { uid: 65534, gid: 65534, cwd: '/' }).status).toBe(0)
    expect(start(place)).toBe('ERR_CAISSON_PERMISSION')
    expect(readdirSync(victim)).toEqual(['directory'])

    // The same, where only this user can have put it there.
    const own = places(0o711)
    symlinkSync(own.victim, path.join(own.place, 'owners'))
    expect(start(own.place)).toBe('0')
    expect(readdirSync(own.victim)).not.toContain('directory')
  },
  60_000,
)
