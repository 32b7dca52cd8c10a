/** What a network is, on disk: a file for each, which outlives the process that made it unless it has no name. */
import { link, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { CaissonError } from '../errors.js'
import { addon } from '../native/addon.js'
import { newId } from '../util/ids.js'
import { roots } from '../util/roots.js'

export interface NetworkDefinition {
  id: string
  name: string
  driver: 'bridge'
  /** The name of its bridge device on the host. */
  bridge: string
  mac: string
  ipv4: { subnet: string; gateway: string }
  ipv6?: { subnet: string; gateway: string }
  internal: boolean
  /** Bytes; absent: the kernel's default. */
  mtu?: number
  bigTcp: boolean
  /** Containers may reach link-local addresses of IPv4, as those of cloud metadata. */
  metadata: boolean
  labels: Record<string, string>
  created: string
  /** The owner that it ends with; none: it stays until it is removed. */
  owner?: string
}

/** Of the network that is there without being made. */
export const DEFAULT_NETWORK = 'bridge'

const directory = () => path.join(roots().data, 'networks')
const fileOf = (name: string) => path.join(directory(), `${name}.json`)

/** Those of dead owners are none. */
export async function readDefinitions(): Promise<NetworkDefinition[]> {
  const read = await readAll()
  const passing = read.some(({ owner }) => owner !== undefined)
  // Looked at afterwards: whoever made one that was read was there before.
  const live = new Set(passing ? await readdir(path.join(roots().run, 'owners')).catch(() => []) : [])
  return read.filter(({ owner }) => owner === undefined || live.has(owner))
}

async function readAll(): Promise<NetworkDefinition[]> {
  const names = await readdir(directory()).catch(() => [])
  const read = names.filter((name) => name.endsWith('.json')).map((name) => readDefinition(name.slice(0, -5)))
  return (await Promise.all(read)).filter((each) => each !== undefined)
}

export async function readDefinition(name: string): Promise<NetworkDefinition | undefined> {
  const text = await readFile(fileOf(name), 'utf8').catch(() => undefined)
  return text === undefined ? undefined : (JSON.parse(text) as NetworkDefinition)
}

/** Others that choose a subnet or a name wait meanwhile. */
export async function alone<T>(work: () => Promise<T>): Promise<T> {
  await mkdir(directory(), { recursive: true, mode: 0o711 })
  const lock = await addon().lock(path.join(directory(), 'lock'), true, true)
  try {
    return await work()
  } finally {
    addon().closeFd(lock)
  }
}

/** Whole or not at all; a name that is taken is an error. */
export async function writeDefinition(definition: NetworkDefinition): Promise<void> {
  const beside = path.join(directory(), `new-${newId()}`)
  await writeFile(beside, `${JSON.stringify(definition, null, 2)}\n`, { mode: 0o600 })
  try {
    await link(beside, fileOf(definition.name))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    throw new CaissonError('ERR_CAISSON_NAME_IN_USE', `there is a network ${definition.name} already`, {
      stage: 'network',
      hint: 'Use it (Network.get), remove it, or choose another name.',
    })
  } finally {
    await rm(beside, { force: true })
  }
}

/** Those of dead owners, and what is left of networks that are not there any more. */
export async function sweepDefinitions(): Promise<void> {
  const live = new Set((await readDefinitions()).map(({ id }) => id))
  for (const { id, name, owner } of await readAll())
    if (owner !== undefined && !live.has(id)) await removeDefinition(name)
  const state = path.join(roots().run, 'networks')
  for (const id of await readdir(state).catch(() => [])) {
    if (!/^[0-9a-f]{64}$/.test(id) || live.has(id)) continue
    const lock = await addon()
      .lock(path.join(state, id, 'lock'), true, false)
      .catch(() => -1)
    if (lock < 0) continue
    // One that was just made has its definition first.
    if (!(await readDefinitions()).some((each) => each.id === id)) await rm(path.join(state, id), { recursive: true })
    addon().closeFd(lock)
  }
}

export async function removeDefinition(name: string): Promise<void> {
  await rm(fileOf(name), { force: true })
}
