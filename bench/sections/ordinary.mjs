// The same as an ordinary user, against what ordinary users have: everybody is that user, and has no cgroups.
import { chmodSync, chownSync, mkdirSync, readFileSync, statSync } from 'node:fs'
import path from 'node:path'
import { account, spawnAsUser } from '../../scripts/as-user.mjs'
import { commandTimer } from '../lib/measure.mjs'
import { CRUN_SETUP } from '../lib/peers.mjs'
import { compare, note, section } from '../lib/report.mjs'

export const title = 'run(true) as an ordinary user'

export async function bench({ directory, rootfs, rounds }) {
  section(title)
  if (process.getuid() !== 0) return note('needs root, to become somebody else')
  // Builds the timer's program, which the user cannot.
  commandTimer().close()
  const { uid, gid } = account()
  const place = path.join(directory, 'ordinary')
  mkdirSync(place)
  chownSync(place, Number(uid), Number(gid))
  for (let at = rootfs; at.startsWith(directory); at = path.dirname(at)) chmodSync(at, statSync(at).mode | 0o555)
  const child = path.resolve(import.meta.dirname, '../lib/ordinary-child.mjs')
  const env = { CAISSON_ROOT: path.join(place, 'root'), TMPDIR: place, XDG_RUNTIME_DIR: place }
  const { status } = spawnAsUser([process.execPath, child, rootfs, place, String(rounds)], {
    bare: true,
    setup: CRUN_SETUP,
    env,
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  if (status !== 0) return note(`the user's part ended with ${status}`)
  const { bwrap, podman } = JSON.parse(readFileSync(path.join(place, 'samples.json'), 'utf8'))
  if (bwrap) compare('bwrap --unshare-all, as the same user', bwrap.ours, bwrap.theirs, 1)
  if (podman) compare('podman run, as the same user', podman.ours, podman.theirs, 0.03)
}
