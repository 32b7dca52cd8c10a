/** Which namespaces a container gets for its own, which it joins, and which stay the host's. */
import { statSync } from 'node:fs'
import { CaissonError, invalidArgument } from '../../errors.js'
import { addon } from '../../native/addon.js'
import type { ContainerOptions } from '../../options.js'
import { privileged } from '../../util/privileged.js'
import { isBridged, isNetwork } from '../container/attachments.js'
import type { Isolation } from '../isolation/isolation.js'
import { mapsOfOptions, openMountMaps } from '../lower/mount-maps.js'
import {
  checkNamespaceType,
  createNamespace,
  idMapsOf,
  type NamespaceHandle,
  type OpenedNamespace,
  openNamespace,
} from '../process/namespaces.js'
import { checkIdMap, defaultIdMaps, hostId, type IdMapPair } from '../user/id-maps.js'
import { takeIdRange } from '../user/id-ranges.js'
import { type Ordinary, ordinary } from '../user/ordinary.js'
import type { JoinedNamespace, NamespaceType } from './workload.js'

/** Namespaces that a container gets unless it says otherwise. */
const DEFAULT_PRIVATE: readonly NamespaceType[] = ['mnt', 'pid', 'uts', 'ipc', 'net', 'cgroup', 'time']

export interface ChosenNamespaces {
  /** Made for the container; `user` is among `join` even then. */
  own: ReadonlySet<NamespaceType>
  join: readonly JoinedNamespace[]
  /** Of the user namespace in `join`. */
  idMaps?: IdMapPair
  /** The user namespace was made for containers of ours. */
  privateUser: boolean
  /** We have rights only inside of it: see Workload. */
  inside: boolean
  /** User namespaces of id-mapped binds, by where these are mounted. */
  mountMaps?: ReadonlyMap<string, NamespaceHandle>
  /** Gives back what was opened or taken for it, when its programs have ended. */
  close(): void
}

/** A namespace of another process or file is opened; a handle stays its owner's. */
export type Choice = 'private' | 'host' | NamespaceHandle | { pid: number } | { path: string }

/** Opens and makes what is needed. `close()` must be called, whatever comes after. */
export async function chooseNamespaces(
  options: ContainerOptions,
  isolation: Pick<Isolation, 'proc'> = { proc: 'own' },
): Promise<ChosenNamespaces> {
  const maps = mapsOfOptions(options)
  return withMountMaps(maps, () => chooseOwn(options, isolation))
}

/** Opens what id-mapped binds need as well. */
export async function withMountMaps(
  maps: ReadonlyMap<string, IdMapPair>,
  choose: () => Promise<ChosenNamespaces>,
): Promise<ChosenNamespaces> {
  if (maps.size === 0) return choose()
  const mounts = await openMountMaps(maps)
  try {
    const chosen = await choose()
    const close = () => {
      chosen.close()
      mounts.close()
    }
    return { ...chosen, mountMaps: mounts.handles, close }
  } catch (error) {
    mounts.close()
    throw error
  }
}

async function chooseOwn(options: ContainerOptions, { proc }: Pick<Isolation, 'proc'>): Promise<ChosenNamespaces> {
  const choices = readChoices(options)
  if (options.security?.userns !== 'auto') {
    const user = choices.get('user')
    // Who sees the processes of other containers must not have the rights over them that one user namespace gives.
    const apart = proc === 'outer' && !privileged() && (user === undefined || user === 'private')
    if (apart) choices.set('user', 'private')
    return openNamespaces(choices, askedMaps(options) ?? (apart ? defaultIdMaps() : undefined))
  }
  const range = await takeIdRange()
  try {
    const chosen = await openNamespaces(choices, range.maps)
    const close = () => {
      chosen.close()
      range.release()
    }
    return { ...chosen, close }
  } catch (error) {
    range.release()
    throw error
  }
}

/** Those of options that join none and ask for no user namespace: there is nothing to open. */
export function ownNamespaces(options: ContainerOptions, user: Ordinary | undefined): ChosenNamespaces {
  const own = [...readChoices(options)].filter(([, choice]) => choice === 'private').map(([type]) => type)
  const join = user ? [{ type: 'user' as const, inUser: false, handle: user.user }] : []
  const inside = user !== undefined
  return { own: new Set(own), join, idMaps: user?.idMaps, privateUser: inside, inside, close: () => undefined }
}

/**
 * As chooseNamespaces, for choices that are made; a type that has none stays the host's. Containers of an ordinary user
 * are in its user namespace unless they get another: the host's would let them be nothing.
 */
export async function openNamespaces(choices: Map<NamespaceType, Choice>, maps?: IdMapPair): Promise<ChosenNamespaces> {
  const usual = await ordinary()
  const asked = choices.get('user')
  const shared = usual && !maps && (asked === undefined || asked === 'host' || asked === 'private')
  const own = new Set<NamespaceType>()
  const joined = new Map<NamespaceType, NamespaceHandle>()
  const opened: OpenedNamespace[] = []
  const close = () => {
    for (const { fd } of opened.splice(0)) addon().closeFd(fd)
  }
  try {
    for (const [type, choice] of choices) {
      if (choice === 'host') continue
      if (choice !== 'private') {
        const handle = 'fd' in choice ? choice : await openOf(choice, type, opened)
        // Where we are already, nobody needs to go; of a user namespace the kernel would refuse it.
        if (handle.inode !== statSync(`/proc/self/ns/${type}`).ino) joined.set(type, handle)
      } else if (type !== 'user') own.add(type)
    }
    const privateUser = shared || asked === 'private'
    let idMaps: IdMapPair | undefined
    if (shared) {
      idMaps = usual.idMaps
      joined.set('user', usual.user)
    } else if (privateUser) {
      idMaps = maps ?? defaultIdMaps()
      const made = await createNamespace('user', { idMaps })
      opened.push(made)
      joined.set('user', made)
    }
    const user = joined.get('user')
    if (user) idMaps ??= await idMapsOf(user)
    if (idMaps && (hostId(idMaps.uidMap, 0) === undefined || hostId(idMaps.gidMap, 0) === undefined))
      throw new CaissonError('ERR_CAISSON_NAMESPACE', 'the user namespace has no user or group 0', {
        stage: 'namespaces: user',
        hint: 'A container is set up by the root of its user namespace; map id 0 in both maps.',
      })
    const join = [...joined].map(([type, handle]): JoinedNamespace => {
      const inUser =
        user !== undefined && type !== 'user' && addon().namespaceFacts(handle.fd).owners.includes(user.inode)
      return { type, inUser, handle }
    })
    return { own, join, idMaps, privateUser, inside: usual !== undefined, close }
  } catch (error) {
    close()
    throw error
  }
}

async function openOf(
  choice: { pid: number } | { path: string },
  type: NamespaceType,
  opened: OpenedNamespace[],
): Promise<NamespaceHandle> {
  const handle = await openNamespace('path' in choice ? choice.path : `/proc/${choice.pid}/ns/${type}`)
  opened.push(handle)
  if (handle.type !== type) throw invalidArgument(`namespaces.${type}`, handle.type, `a namespace of the kind ${type}`)
  return handle
}

function readChoices(options: ContainerOptions): Map<NamespaceType, Choice> {
  const choices = new Map<NamespaceType, Choice>(DEFAULT_PRIVATE.map((type) => [type, 'private']))
  const { network, namespaces = {}, security } = options
  if (network === 'host') choices.set('net', 'host')
  else if (typeof network === 'object' && !isNetwork(network))
    choices.set('net', checkChoice('net', network, 'network'))
  if (security?.userns === 'auto' && !privileged())
    throw new CaissonError('ERR_CAISSON_UNSUPPORTED', 'security.userns: "auto" is for root', {
      stage: 'options',
      hint: 'Containers of an ordinary user are in its user namespace anyway; give the maps themselves for another.',
    })
  if (security?.userns === 'auto' || askedMaps(options)) choices.set('user', 'private')
  for (const [key, choice] of Object.entries(namespaces)) {
    if (choice === undefined) continue
    const type = checkNamespaceType(key, 'namespaces')
    choices.set(type, checkChoice(type, choice, `namespaces.${type}`))
  }
  if (isBridged(options) && choices.get('net') !== 'private')
    throw invalidArgument(
      'network',
      typeof network === 'string' ? network : 'a network',
      'possible in a shared namespace',
    )
  if (security?.userns !== undefined && namespaces.user !== undefined) {
    const agree = security.userns === 'host' ? 'host' : 'private'
    if (choices.get('user') !== agree)
      throw invalidArgument('namespaces.user', namespaces.user, `"${agree}", as security.userns says`)
  }
  return choices
}

function checkChoice(type: NamespaceType, choice: unknown, option: string): Choice {
  if (choice === 'private' || choice === 'host') return choice
  if (typeof choice === 'object' && choice !== null) {
    if ('type' in choice && 'inode' in choice && 'fd' in choice) {
      if (choice.type === type) return choice as NamespaceHandle
      throw invalidArgument(option, choice.type, `a namespace of the kind ${type}`)
    }
    if ('pid' in choice) {
      if (typeof choice.pid === 'number' && choice.pid > 0) return { pid: choice.pid }
      throw new CaissonError('ERR_CAISSON_INVALID_STATE', `${option}: the container is not running`, {
        stage: 'options',
        hint: 'Start it first; a namespace to join needs a process in it.',
      })
    }
  }
  throw invalidArgument(option, choice, 'private, host, a Namespace or a running Container')
}

function askedMaps({ security }: ContainerOptions): IdMapPair | undefined {
  const userns = security?.userns
  if (userns === undefined || userns === 'host' || userns === 'auto') return undefined
  if (typeof userns !== 'object' || userns === null)
    throw invalidArgument('security.userns', userns, 'auto, host or { uidMap, gidMap }')
  return {
    uidMap: checkIdMap(userns.uidMap, 'security.userns.uidMap'),
    gidMap: checkIdMap(userns.gidMap, 'security.userns.gidMap'),
  }
}
