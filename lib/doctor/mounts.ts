/** Mounts as containers have them, made in a mount namespace of a child. */
import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises'
import path from 'node:path'
import { addon } from '../native/addon.js'
import { NONE, type Plan } from '../runtime/lower/plan.js'
import { PROPAGATION } from '../runtime/options/mount-options.js'
import { NAMESPACES } from '../runtime/options/workload.js'
import { createNamespace, duplicate, type OpenedNamespace } from '../runtime/process/namespaces.js'
import { defaultIdMaps } from '../runtime/user/id-maps.js'
import { bad, type Finding, ok, type Subject, unknown } from './finding.js'
import {
  attempt,
  enterMountNamespace,
  enterUserNamespace,
  isRoot,
  mountMaps,
  ownIdMaps,
  type Refusal,
  refusalOf,
  scratchDirectory,
  unshare,
} from './trial.js'

const OVERLAY = 'An image is shown with a writable layer over it; without overlay there is no cheap copy.'

const SUBJECTS = {
  tmpfs: {
    id: 'mount.tmpfs',
    what: 'tmpfs',
    why: '/dev, shared memory and the writable layer of run() lie in memory.',
  },
  proc: { id: 'mount.proc', what: 'procfs', why: 'A container needs a /proc of its own pid namespace.' },
  sysfs: {
    id: 'mount.sysfs',
    what: 'sysfs',
    why: 'A container with a network of its own sees it in a /sys of its own.',
  },
  overlay: { id: 'mount.overlay', what: 'overlay', why: OVERLAY },
  userOverlay: {
    id: 'mount.overlay.userns',
    what: 'overlay in a user namespace',
    why: 'Containers of ordinary users are put together inside a user namespace.',
  },
  mappedOverlay: {
    id: 'mount.overlay.idmap',
    what: 'overlay over id-mapped layers',
    why: 'With a private user namespace the files of an image keep their owners without being copied.',
  },
  diskOverlay: {
    id: 'mount.overlay.disk',
    what: 'writable layer where caisson keeps its data',
    why: 'Containers that are kept have their changes on disk.',
  },
} satisfies Record<string, Subject>

/** `data`: the nearest directory to CAISSON_ROOT that exists. */
export async function examineMounts(data: string): Promise<Finding[]> {
  const findings = [
    await tryMount(SUBJECTS.tmpfs, 'missing', (plan) => {
      enterMountNamespace(plan)
      tmpfs(plan)
    }),
    await tryMount(SUBJECTS.proc, 'missing', (plan) => {
      enterMountNamespace(plan)
      plan.add('FORK', 'pid', { numbers: [NAMESPACES.pid.flag, NONE] })
      plan.add('FILESYSTEM', 'proc', { numbers: [plan.slot(), 0], strings: ['proc'] })
    }),
    await tryMount(SUBJECTS.sysfs, 'warning', (plan) => {
      enterMountNamespace(plan)
      unshare(plan, 'net')
      plan.add('FILESYSTEM', 'sysfs', { numbers: [plan.slot(), 0], strings: ['sysfs'] })
    }),
  ]
  if (isRoot())
    findings.push(
      await tryMount(SUBJECTS.overlay, 'missing', (plan) => {
        enterMountNamespace(plan)
        overlay(plan, tmpfs(plan))
      }),
    )
  findings.push(await userOverlay())
  if (isRoot()) findings.push(await mappedOverlay(data))
  findings.push(await diskOverlay(data))
  return findings
}

async function tryMount(subject: Subject, state: 'warning' | 'missing', write: (plan: Plan) => void): Promise<Finding> {
  const { refusal } = await attempt(write, mountMaps())
  return refusal ? bad(subject, state, refusal.text, cure(refusal)) : ok(subject)
}

function cure({ code, syscall }: Refusal): string {
  if (syscall === 'unshare') return 'See the findings about namespaces.'
  if (code === 'ENODEV')
    return 'modprobe overlay (and the line "overlay" in /etc/modules-load.d/caisson.conf to keep it)'
  if (code === 'EPERM')
    return isRoot()
      ? 'Parts of /proc or /sys are hidden here, or CAP_SYS_ADMIN is missing: start the outer container with --privileged, or with --security-opt systempaths=unconfined.'
      : 'Parts of /proc or /sys are hidden here, or the kernel is older than 5.11: start the outer container with --security-opt systempaths=unconfined, or run as root.'
  return 'Look at the last lines of dmesg; the kernel says there what it did not like.'
}

function tmpfs(plan: Plan): string {
  const slot = plan.slot()
  plan.add('FILESYSTEM', 'tmpfs', { numbers: [slot, 0], strings: ['tmpfs', 'size', '64k'] })
  for (const name of ['upper', 'work', 'root', 'lower'])
    plan.add('DIRECTORY', 'tmpfs', { numbers: [slot, 0o755], strings: [name] })
  plan.add('ATTACH', 'tmpfs', { numbers: [slot, NONE], strings: [scratchDirectory()] })
  return scratchDirectory()
}

/** With a file in it, so that the upper layer is written to as well. */
function overlay(plan: Plan, base: string, options: { upper?: string; lower?: string; option?: string } = {}): void {
  const { upper = base, lower = `${base}/lower`, option = '' } = options
  const slot = plan.slot()
  plan.add('OVERLAY', 'overlay', {
    numbers: [slot, 0],
    strings: [`${base}/root`, `${upper}/upper`, `${upper}/work`, option, lower],
  })
  plan.add('DIRECTORY', 'overlay', { numbers: [slot, 0o755], strings: ['made'] })
}

async function userOverlay(): Promise<Finding> {
  const { refusal } = await attempt((plan) => {
    enterUserNamespace(plan)
    unshare(plan, 'mnt')
    overlay(plan, tmpfs(plan), { option: 'userxattr' })
  }, ownIdMaps())
  if (!refusal) return ok(SUBJECTS.userOverlay)
  const fix =
    refusal.syscall === 'mount' ? 'Use a kernel of version 5.11 or later with overlay built in.' : cure(refusal)
  return bad(SUBJECTS.userOverlay, isRoot() ? 'warning' : 'missing', refusal.text, fix)
}

async function mappedOverlay(data: string): Promise<Finding> {
  let user: OpenedNamespace
  try {
    user = await createNamespace('user', { idMaps: defaultIdMaps() })
  } catch (error) {
    return unknown(SUBJECTS.mappedOverlay, refusalOf(error as Error).text)
  }
  try {
    const { refusal } = await attempt((plan) => {
      const slot = plan.inherit(duplicate(user.fd))
      const tree = plan.slot()
      enterMountNamespace(plan)
      const base = tmpfs(plan)
      plan.add('TREE', data, { numbers: [tree, PROPAGATION.private, 0, slot], strings: [data] })
      plan.add('ATTACH', data, { numbers: [tree, NONE], strings: [`${base}/lower`] })
      overlay(plan, base)
    })
    if (!refusal) return ok(SUBJECTS.mappedOverlay)
    let fix = cure(refusal)
    if (refusal.syscall === 'mount') fix = 'Use a kernel of version 5.19 or later.'
    if (refusal.syscall === 'mount_setattr')
      fix = `Keep CAISSON_ROOT on ext4, xfs or btrfs; the file system of ${data} has no id-mapped mounts.`
    return bad(SUBJECTS.mappedOverlay, 'warning', refusal.text, fix)
  } finally {
    addon().closeFd(user.fd)
  }
}

/** The only probe that writes: a directory beside the data, gone at the end. */
async function diskOverlay(data: string): Promise<Finding> {
  let directory: string
  try {
    directory = await mkdtemp(path.join(data, '.caisson-doctor-'))
  } catch (error) {
    const fix = `Set CAISSON_ROOT to a directory that this user may write to.`
    return bad(SUBJECTS.diskOverlay, 'missing', (error as Error).message, fix)
  }
  try {
    for (const name of ['upper', 'work']) await mkdir(path.join(directory, name))
    const { refusal } = await attempt((plan) => {
      enterMountNamespace(plan)
      overlay(plan, tmpfs(plan), { upper: directory, option: isRoot() ? '' : 'userxattr' })
    }, mountMaps())
    if (!refusal) return ok(SUBJECTS.diskOverlay, data)
    const fix =
      refusal.syscall === 'mount'
        ? `Set CAISSON_ROOT to a directory on ext4, xfs or btrfs; an upper layer needs extended attributes, which ${data} lacks.`
        : cure(refusal)
    return bad(SUBJECTS.diskOverlay, 'warning', refusal.text, fix)
  } finally {
    // Overlay leaves a directory there that even its owner may not read.
    await chmod(path.join(directory, 'work', 'work'), 0o700).catch(() => undefined)
    await rm(directory, { recursive: true, force: true })
  }
}
