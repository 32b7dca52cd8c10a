/** What RUN --mount shows to a command, made ready on the host; none of it is in a layer. */
import { rename } from 'node:fs/promises'
import path from 'node:path'
import { applyLayer } from '../layer/apply.js'
import { removeTree } from '../layer/tree.js'
import type { Mount as ContainerMount } from '../options.js'
import { cacheDirectory } from './cache-mounts.js'
import type { Mount, RunStep } from './dockerfile/plan-types.js'
import type { Member } from './files/entry.js'
import { headerOf } from './files/tar.js'
import { ownersOf } from './owners.js'
import { copyError } from './tree.js'
import type { Workspace } from './workspace.js'

export interface PreparedMounts {
  mounts: ContainerMount[]
  env: string[]
  /** When the command has ended. */
  release(): Promise<void>
}

export interface MountSources {
  secrets: ReadonlyMap<string, Uint8Array>
  /** Sockets by id. */
  ssh: ReadonlyMap<string, string>
  /** A copy of what a source shows at a path, which the command may change. */
  materialise(mount: Mount & { type: 'bind' | 'cache' }): Promise<string>
}

export async function prepareMounts(space: Workspace, step: RunStep, sources: MountSources): Promise<PreparedMounts> {
  const prepared: PreparedMounts = { mounts: [], env: [], release }
  const undo: Array<() => Promise<void> | void> = []
  async function release() {
    for (const each of undo.splice(0)) await each()
  }
  try {
    for (const mount of step.mounts) await prepare(space, mount, sources, prepared, undo)
    if (step.script) await prepareScript(space, step.script, prepared)
    return prepared
  } catch (error) {
    await release()
    throw error
  }
}

async function prepare(
  space: Workspace,
  mount: Mount,
  sources: MountSources,
  { mounts, env }: PreparedMounts,
  undo: Array<() => Promise<void> | void>,
): Promise<void> {
  switch (mount.type) {
    case 'bind': {
      const { target, readOnly } = mount
      mounts.push({ type: 'bind', source: await sources.materialise(mount), target, readOnly })
      return
    }
    case 'tmpfs':
      // As BuildKit's, whose may hold what a command compiles and runs.
      mounts.push({ type: 'tmpfs', target: mount.target, exec: true, ...(mount.size > 0 ? { size: mount.size } : {}) })
      return
    case 'cache': {
      const { directory, lock } = await cacheDirectory(space, mount, (beside) => fill(space, beside, mount, sources))
      undo.push(() => lock.release())
      mounts.push({ type: 'bind', source: directory, target: mount.target, readOnly: mount.readOnly })
      return
    }
    case 'secret': {
      const { id, target, required } = mount
      const value = sources.secrets.get(id)
      if (!value && required)
        throw copyError(`secret ${JSON.stringify(id)} was not given`, `Give secrets: { ${JSON.stringify(id)}: ... }.`)
      if (!value) return
      if (mount.env !== undefined) env.push(`${mount.env}=${Buffer.from(value).toString('utf8')}`)
      if (target === undefined) return
      const { uid = 0, gid = 0, mode = 0o400 } = mount
      const text = Buffer.from(value).toString('latin1')
      const source = await makePrivate(space, { kind: 'file', mode, uid, gid, bytes: text })
      undo.push(() => removeTree(path.dirname(source)))
      mounts.push({ type: 'bind', source, target, readOnly: true })
      return
    }
    case 'ssh': {
      const { id, target, required } = mount
      const socket = sources.ssh.get(id)
      if (socket === undefined && required)
        throw copyError(`no SSH agent ${JSON.stringify(id)} was given`, 'Give ssh: true, or ssh: { ID: SOCKET }.')
      if (socket === undefined) return
      mounts.push({ type: 'bind', source: socket, target })
      if (!env.some((each) => each.startsWith('SSH_AUTH_SOCK='))) env.push(`SSH_AUTH_SOCK=${target}`)
    }
  }
}

/** The script of a here-document. */
async function prepareScript(
  space: Workspace,
  { name, content }: { name: string; content: string },
  { mounts }: PreparedMounts,
): Promise<void> {
  const text = Buffer.from(content).toString('latin1')
  const file = await makePrivate(space, { kind: 'file', name, mode: 0o755, uid: 0, gid: 0, bytes: text })
  mounts.push({ type: 'bind', source: path.dirname(file), target: '/dev/pipes', readOnly: true })
}

interface PrivateFile extends Pick<Member, 'mode' | 'uid' | 'gid'> {
  kind: 'file' | 'directory'
  name?: string
  /** latin1. */
  bytes?: string
}

/** A file or directory with an owner of the image's. */
async function makePrivate(space: Workspace, { name = 'content', ...file }: PrivateFile): Promise<string> {
  const directory = await space.privateDirectory()
  await place(space, directory, { ...file, name })
  return path.join(directory, name)
}

async function place(
  space: Workspace,
  directory: string,
  { kind, name = 'content', mode, uid, gid, bytes = '' }: PrivateFile,
): Promise<void> {
  await applyLayer({
    directory,
    source: archiveOf({ kind, path: name, mode, uid, gid, mtime: 0, size: bytes.length }, bytes),
    whiteouts: 'none',
    owners: await ownersOf(space),
    digests: false,
    signal: space.signal,
  })
}

/** An archive in memory: it never touches a disk. */
async function* archiveOf(member: Member, bytes: string): AsyncGenerator<Uint8Array> {
  const padding = Buffer.alloc((512 - (bytes.length % 512)) % 512)
  yield Buffer.concat([headerOf(member), Buffer.from(bytes, 'latin1'), padding, Buffer.alloc(1024)])
}

/** What a cache begins with: what a source shows, or an empty directory. */
async function fill(
  space: Workspace,
  beside: string,
  mount: Mount & { type: 'cache' },
  sources: MountSources,
): Promise<void> {
  const { uid = 0, gid = 0, mode = 0o755 } = mount
  if (mount.source.kind === 'scratch') await place(space, beside, { kind: 'directory', mode, uid, gid })
  else await rename(await sources.materialise(mount), path.join(beside, 'content'))
}
