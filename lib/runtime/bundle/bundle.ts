/**
 * An OCI runtime bundle of every container: config.json and rootfs, which other runtimes run unchanged.
 *
 * Nothing is mounted on the host, so the layers are put together by mounts in the configuration: one overlay for each
 * directory at the top of the image (runc takes one at / as well, crun does not).
 */
import path from 'node:path'
import { specFromSettings } from '../../cgroup/settings.js'
import { addon, type NativeFailure, type NativeStep } from '../../native/addon.js'
import { errorFromFailure } from '../../native/failure.js'
import type { RuntimeSpec, SpecMount } from '../../spec/runtime.js'
import { type ImageTop, readAtTop, topOf } from '../image/top.js'
import type { Assembled, ImageRoot } from '../options/assemble.js'
import { parsePasswdUser } from '../options/passwd.js'

export interface BundleInput {
  /** Where the bundle is to be; it is there and empty. */
  directory: string
  /** Of the writable layer; undefined: it is in memory, and the bundle gets one beside it. */
  data: string | undefined
  assembled: Assembled
  image: ImageRoot
}

/** The kernel's own file systems come over these. */
const COVERED = new Set(['proc', 'sys', 'dev'])

export async function writeBundle({ directory, data, assembled, image }: BundleInput): Promise<void> {
  const { workload } = assembled
  const writable = data ?? directory
  // Of another runtime that runs the bundle: in the container's own, these directories would hide the image's modes.
  const layers = data ? path.join(data, 'bundle') : directory
  const top = await topOf(image, workload.inside ? 'user' : 'trusted')
  const make = (at: string): NativeStep => ({ path: at, stage: 'bundle', lenient: true })
  const steps: NativeStep[] = []
  if (data) {
    steps.push(...parents(data).map(make))
    // A program may have written set-id files to it.
    for (const at of [path.dirname(data), data]) steps.push({ ...make(at), closed: true })
    for (const name of ['upper', 'work', 'root', 'bundle']) steps.push(make(path.join(data, name)))
  }
  for (const name of ['upper', 'work']) steps.push(make(path.join(layers, name)))
  for (const [name, content] of Object.entries(workload.etc))
    steps.push({ path: path.join(writable, name), content, stage: 'bundle' })

  const rootfs = path.join(directory, 'rootfs')
  steps.push(make(rootfs))
  const mounts: SpecMount[] = []
  for (const [name, entry] of top) {
    const at = path.join(rootfs, name)
    if (entry.kind === 'link') steps.push({ path: at, target: entry.target, stage: 'bundle' })
    else if (COVERED.has(name)) steps.push(make(at))
    else {
      const [upper, work] = [path.join(layers, 'upper', name), path.join(layers, 'work', `.${name}`)]
      steps.push(make(at), make(upper), make(work))
      const options = [`lowerdir=${entry.lower.map(escapePath).join(':')}`, `upperdir=${escapePath(upper)}`]
      options.push(`workdir=${escapePath(work)}`)
      if (workload.inside) options.push('userxattr')
      mounts.push({ destination: `/${name}`, type: 'overlay', source: 'overlay', options })
    }
  }
  for (const { source, target } of image.trees)
    mounts.push({ destination: target, type: 'bind', source, options: ['rbind', 'ro', 'nosuid', 'nodev'] })
  const spec = await bundleSpec(assembled, top, mounts, writable)
  steps.push({
    path: path.join(directory, 'config.json'),
    content: toJson(spec),
    stage: 'bundle',
  })
  try {
    await addon().perform(steps)
  } catch (failure) {
    throw errorFromFailure(failure as NativeFailure)
  }
}

/** Arguments of seccomp rules are 64-bit numbers: all their digits. No other text has a NUL. */
function toJson(spec: RuntimeSpec): string {
  const text = JSON.stringify(spec, (_, value) => (typeof value === 'bigint' ? `\0${value}\0` : value), 2)
  return `${text.replace(/"\\u0000(\d+)\\u0000"/g, '$1')}\n`
}

/** The directories of owner, containers and container, as far as they may be missing. */
function parents(data: string): string[] {
  const owner = path.dirname(path.dirname(data))
  return [path.dirname(owner), owner]
}

/** Separators of overlay's options. */
function escapePath(at: string): string {
  return at.replace(/[\\:,]/g, '\\$&')
}

async function bundleSpec(
  { workload, settings }: Assembled,
  top: ImageTop,
  layers: SpecMount[],
  writable: string,
): Promise<RuntimeSpec> {
  const { spec } = workload
  const files = Object.keys(workload.etc).map((name) => ({
    destination: `/etc/${name}`,
    type: 'bind',
    source: path.join(writable, name),
    options: ['bind', 'nosuid', 'nodev', 'noexec'],
  }))
  const user = await parsePasswdUser(workload.user ?? '', (file) => readAtTop(top, file))
  return {
    ...spec,
    root: { path: 'rootfs', readonly: spec.root?.readonly },
    process: spec.process && {
      ...spec.process,
      user: { ...user, umask: 0o022 },
      env: [...(spec.process.env ?? []), ...(hasHome(spec.process.env) ? [] : [`HOME=${user.home}`])],
    },
    mounts: [...layers, ...(spec.mounts ?? []), ...files],
    linux: {
      ...spec.linux,
      devices: spec.linux?.devices?.map(({ source, ...device }) => device),
      // Version 1.0 of the specification has no time namespace, and runtimes that follow it refuse one.
      namespaces: spec.linux?.namespaces?.filter(({ type }) => type !== 'time'),
      resources: { ...spec.linux?.resources, ...specFromSettings(settings) },
    },
  }
}

function hasHome(env: readonly string[] = []): boolean {
  return env.some((variable) => variable.startsWith('HOME='))
}
