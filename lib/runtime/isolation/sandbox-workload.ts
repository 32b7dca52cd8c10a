/** From options to a program in a sandbox: what needs namespaces is an error, never left out. */
import { readFileSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { planCgroup } from '../../cgroup/plan.js'
import { settingsFromLimits } from '../../cgroup/settings.js'
import { invalidArgument } from '../../errors.js'
import type { ContainerOptions } from '../../options.js'
import { architecture } from '../../seccomp/arch.js'
import { sandboxFilter } from '../../seccomp/sandbox.js'
import { FS_DEVICE_NODES, FS_RIGHTS, NET_RIGHTS, SCOPES } from '../../spec/landlock.js'
import type { RuntimeSpec } from '../../spec/runtime.js'
import {
  type Assembled,
  type AssembleInput,
  boundProcesses,
  DEFAULT_PIDS,
  injectedFiles,
  pidsAvailable,
} from '../options/assemble.js'
import { chooseLandlock, type Landlock } from '../options/landlock.js'
import { commandLine, processSpec } from '../options/process.js'
import { chooseSeccomp } from '../options/seccomp.js'
import { notInSandbox, type Sandbox } from './sandbox.js'

/** Of the host's /dev: harmless, and what programs expect. */
const DEVICES = ['null', 'zero', 'full', 'random', 'urandom'].map((name) => `/dev/${name}`)
/** Of its /proc: the machine, and the program itself; other processes are not its own. */
const PROC = ['cpuinfo', 'filesystems', 'loadavg', 'meminfo', 'self', 'stat', 'uptime', 'version'].map(
  (n) => `/proc/${n}`,
)
const WRITE_FILE = 2

export function assembleSandbox(
  { id, owner, image, command, options, kept, accompanied = kept }: Omit<AssembleInput, 'namespaces' | 'directory'>,
  sandbox: Sandbox,
): Assembled {
  checkSandboxOptions(options, sandbox)
  if (!image.shown)
    throw notInSandbox(
      'an image of its own',
      'Use Image.host(): without mounts programs run in the root that is there.',
    )
  const settings = settingsFromLimits(options.limits ?? {})
  const pids = pidsAvailable(owner)
  settings.pidsMax ??= pids ? DEFAULT_PIDS : undefined
  const cgroup = planCgroup(owner.cgroups, id, settings, { kept: accompanied })
  const args = commandLine(image.config, options.entrypoint, command)
  const { directory } = sandbox
  const defaults = { ...options, workdir: path.resolve(directory, options.workdir ?? '') }
  const program = processSpec(args, image.config, withHome(defaults, directory), os.hostname())
  program.capabilities = { bounding: [], effective: [], permitted: [] }
  if (!pids) boundProcesses(program, sandbox.ownUser ? 0 : tasksHere())
  const security = options.security ?? {}
  const seccomp = chooseSeccomp(security, [])
  const spec: RuntimeSpec = {
    ociVersion: '1.0.2',
    process: program,
    root: { path: '/' },
    mounts: [],
    linux: { namespaces: [] },
  }
  return {
    settings,
    cgroup,
    workload: {
      spec,
      rootfs: { kind: 'inherited' },
      staging: owner.staging,
      groups: [],
      files: injectedFiles(options.files),
      etc: {},
      thrownAway: !kept,
      init: false,
      filter: seccomp?.filter,
      filterFlags: seccomp?.flags,
      cgroup: { join: cgroup.join, legacy: [], unified: cgroup.leaf ?? cgroup.unified?.directory },
      join: [],
      inside: false,
      stockNetwork: false,
      // The caller's own rules come on top.
      landlock:
        typeof security.landlock === 'object'
          ? chooseLandlock(security, { spec, ownRoot: false, hostNet: true, hostPids: true })
          : undefined,
      sandbox: {
        directory,
        uid: sandbox.uid,
        gid: sandbox.gid,
        ownUser: sandbox.ownUser,
        landlock: rules(options, image.shown, sandbox),
        filter: sandboxFilter(architecture(), {
          network: options.network === 'host',
          sameUser: !sandbox.ownUser,
          landlock: sandbox.landlock,
        }),
      },
    },
  }
}

/** Of the whole machine, as most of one user's are hard to count. */
function tasksHere(): number {
  try {
    return Number(/\/(\d+) /.exec(readFileSync('/proc/loadavg', 'utf8'))?.[1] ?? 0)
  } catch {
    return 0
  }
}

function withHome({ env, ...options }: ContainerOptions, directory: string): ContainerOptions {
  const own = [`HOME=${directory}`, `TMPDIR=${directory}`]
  const given = Array.isArray(env)
    ? env
    : Object.entries(env ?? {}).flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${value}`]))
  return { ...options, env: [...own, ...given] }
}

function rules(options: ContainerOptions, shown: readonly string[], { directory, landlock }: Sandbox): Landlock {
  const paths = [
    ...shown.map((at) => ({ path: at, rights: FS_RIGHTS.execute })),
    ...DEVICES.map((at) => ({ path: at, rights: FS_RIGHTS.read + WRITE_FILE })),
    ...PROC.map((at) => ({ path: at, rights: FS_RIGHTS.read })),
    { path: directory, rights: options.readOnly ? FS_RIGHTS.execute : FS_RIGHTS.write - FS_DEVICE_NODES },
    ...(options.mounts ?? []).map(({ target, readOnly }) => ({
      path: target,
      rights: readOnly ? FS_RIGHTS.execute : FS_RIGHTS.write - FS_DEVICE_NODES,
    })),
  ]
  const network = options.network === 'host'
  return {
    required: false,
    forExecs: true,
    paths,
    handledNet: network || landlock < 4 ? 0 : NET_RIGHTS.bind + NET_RIGHTS.connect,
    ports: [],
    scoped: landlock < 6 ? 0 : SCOPES['abstract-unix'] + SCOPES.signal,
  }
}

/** What a program could have only with namespaces, mounts or capabilities. */
function checkSandboxOptions(options: ContainerOptions, { uid, gid }: Sandbox): void {
  const { security = {}, network = 'none', namespaces = {}, user, limits = {} } = options
  const needs: Array<keyof ContainerOptions> = ['hostname', 'domainname', 'devices', 'shmSize', 'dns', 'extraHosts']
  needs.push('dnsSearch', 'dnsOptions', 'sysctls', 'groups', 'init', 'oomScoreAdj')
  for (const name of needs) {
    const value = options[name]
    if (value !== undefined && value !== false && Object.keys(Object(value)).length + Number(typeof value !== 'object'))
      throw notInSandbox(name)
  }
  if (network !== 'none' && network !== 'host') throw notInSandbox('a network that is joined')
  for (const [type, choice] of Object.entries(namespaces))
    if (choice !== undefined && choice !== 'host') throw notInSandbox(`namespaces.${type}`)
  if (user !== undefined && ![String(uid), `${uid}:${gid}`].includes(String(user))) throw notInSandbox('user')
  if (limits.disk !== undefined) throw notInSandbox('limits.disk', 'Bound each file instead: ulimits: { fsize }.')
  for (const [i, { type, source, target }] of (options.mounts ?? []).entries()) {
    if (type !== 'bind' || source === undefined) throw notInSandbox(`mounts[${i}]: ${type}`)
    if (path.resolve(source) !== target)
      throw notInSandbox(`mounts[${i}]: another name`, 'Give the source as the target too: it is shown where it is.')
  }
  const { privileged, noNewPrivileges, userns, capabilities, seccomp, landlock } = security
  if (privileged) throw notInSandbox('security.privileged')
  if (noNewPrivileges === false) throw notInSandbox('security.noNewPrivileges: false')
  if (userns !== undefined && userns !== 'host') throw notInSandbox('security.userns')
  if (capabilities?.add?.length) throw notInSandbox('security.capabilities.add')
  if (seccomp === 'unconfined')
    throw notInSandbox('security.seccomp: "unconfined"', 'It is one of the two walls there are.')
  if (landlock === 'off') throw notInSandbox('security.landlock: "off"', 'It is one of the two walls there are.')
  if (
    typeof landlock === 'object' &&
    landlock.fs === undefined &&
    !landlock.connect &&
    !landlock.bind &&
    !landlock.scope
  )
    throw invalidArgument('security.landlock', landlock, 'rules')
}
