/** caisson in a process of its own, inside an outer sandbox that is made for the test. */
import { spawn } from 'node:child_process'
import { chmodSync, chownSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { transformSync } from 'esbuild'
import { packageForEveryone } from './everyone.js'
import { isRoot } from './needs.js'
import { compileProgram } from './program.js'

/** The calls that Docker's default profile refuses whoever has no CAP_SYS_ADMIN, among those that make containers. */
export const NO_NAMESPACES =
  'clone3=ENOSYS,clone:0x7e020000,unshare,setns,mount,umount2,pivot_root,fsopen,open_tree,move_mount,mount_setattr'

export interface OuterOptions {
  /** Words before the command, as `unshare -U`. */
  outer?: string[]
  /** System calls that are refused inside: see test/support/programs/forbid.c. */
  forbid?: string
  /** Only for root: another user. */
  uid?: number
  env?: NodeJS.ProcessEnv
}

let place: string | undefined
let forbid: string | undefined

/** A directory for everyone, with one for CAISSON_ROOT; removed after the tests of the file. */
function makePlace(): string {
  if (!place) {
    place = mkdtempSync(path.join(tmpdir(), 'caisson-outer-'))
    chmodSync(place, 0o755)
  }
  return place
}

afterAll(() => {
  if (place) rmSync(place, { recursive: true, force: true })
  place = forbid = undefined
})

/** The command that runs a script as an ES module; `caisson` is imported in it, and `show(value)` prints an answer. */
export function commandWithin(script: string, { outer = [], forbid: calls, uid, env }: OuterOptions = {}) {
  const directory = makePlace()
  if (calls && !forbid) {
    forbid = path.join(directory, 'forbid')
    writeFileSync(forbid, compileProgram('forbid'), { mode: 0o755 })
  }
  const home = mkdtempSync(path.join(directory, 'home-'))
  if (isRoot && uid !== undefined) chownSync(home, uid, uid)
  chmodSync(home, 0o711)
  const text = `import * as caisson from ${JSON.stringify(packageForEveryone())}
const { Container, Image, Pool, doctor, run } = caisson
const show = (value) => process.stdout.write(JSON.stringify(value) + '\\n')
const failing = (work) => work.then((value) => ({ value }), ({ code, stage, hint, message }) => ({ code, stage, hint, message }))
${script}`
  // `await using` is newer than the oldest Node.
  const { code } = transformSync(text, { loader: 'ts', format: 'esm', target: 'node20' })
  const user = isRoot && uid !== undefined ? ['setpriv', `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups'] : []
  const filter = calls ? [forbid as string, calls] : []
  const words = [...outer, ...user, ...filter, process.execPath, '--input-type=module', '-e', code]
  return {
    words,
    home,
    options: { cwd: '/', env: { ...process.env, HOME: home, CAISSON_ROOT: path.join(home, 'root'), ...env } },
  }
}

/** What the script showed last; it must not fail. */
export async function within<T>(script: string, options: OuterOptions = {}): Promise<T> {
  const { words, options: more } = commandWithin(script, options)
  const child = spawn(words[0] as string, words.slice(1), { ...more, stdio: ['ignore', 'pipe', 'pipe'] })
  let [stdout, stderr] = ['', '']
  child.stdout.on('data', (data) => {
    stdout += data
  })
  child.stderr.on('data', (data) => {
    stderr += data
  })
  const status = await new Promise((resolve) => child.once('close', resolve))
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
  return JSON.parse(stdout.trim().split('\n').at(-1) as string)
}
