/** Networks and volumes of a project: found, or made. */
import { composeError } from '../compose/node.js'
import type { ServiceModel } from '../compose/project.js'
import { CaissonError } from '../errors.js'
import { Network, type NetworkOptions } from '../network.js'
import { Volume } from '../volume.js'
import { networkName, volumeName } from './create.js'
import * as labels from './labels.js'
import type { Loaded } from './load.js'
import type { Running } from './running.js'

type Services = ReadonlyMap<string, ServiceModel>

/** Those that services are on. They end with this process. */
export async function makeNetworks(running: Running, services: Services, loaded: Loaded): Promise<void> {
  const used = new Set<string>()
  for (const { network_mode, networks, 'x-egress': egress } of services.values())
    if (network_mode === undefined && !egress)
      for (const name of Object.keys(networks ?? { default: true })) used.add(name)
  for (const key of used) {
    const network = loaded.model.networks.get(key)
    if (!network) continue
    const name = networkName(loaded, key)
    if (network.external) {
      await Network.get(name).catch((error) => {
        throw composeError(network.place, error.message, error.hint, error.code)
      })
      continue
    }
    if (running.networks.some((each) => each.name === name)) continue
    const there = await usable(name, key, network.internal ?? false)
    if (there) {
      // One of our own that was in use when the project went down is ours again.
      if (there.labels[labels.PROJECT_LABEL] === loaded.model.name) running.networks.push(there)
      else warnOfOther('network', name, there.labels, loaded)
      continue
    }
    const options: NetworkOptions = {
      name,
      lasting: false,
      internal: network.internal,
      mtu: network.driver_opts?.mtu,
      ...subnetsOf(network.ipam ?? [], network.enable_ipv6),
      labels: { ...network.labels, [labels.PROJECT_LABEL]: loaded.model.name, [labels.NETWORK_LABEL]: key },
    }
    const given = Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined))
    running.networks.push(
      await Network.create(given).catch((error) => {
        throw error instanceof CaissonError ? composeError(network.place, error.message, error.hint, error.code) : error
      }),
    )
  }
}

/**
 * As docker compose: another project's of the same name is taken, with a warning, if that knows it by the same key. But
 * not one that is less closed than the file says.
 */
async function usable(name: string, key: string, internal: boolean): Promise<Network | undefined> {
  const [there] = await Network.list({ name, labels: { [labels.NETWORK_LABEL]: key } })
  return there && (there.definition.internal || !internal) ? there : undefined
}

function warnOfOther(kind: string, name: string, given: Readonly<Record<string, string>>, { model }: Loaded): void {
  const project = given[labels.PROJECT_LABEL]
  if (project === model.name) return
  const whose = project === undefined ? 'was not made for a project' : `was made for the project ${project}`
  process.emitWarning(`the ${kind} ${name} ${whose}; write external: true to use one that is there`, {
    code: 'CAISSON_COMPOSE',
  })
}

function subnetsOf(
  pools: ReadonlyArray<{ subnet?: string; gateway?: string }>,
  ipv6: boolean | undefined,
): Pick<NetworkOptions, 'subnet' | 'gateway' | 'ipv6'> {
  const four = pools.find(({ subnet }) => !subnet?.includes(':'))
  const six = pools.find(({ subnet }) => subnet?.includes(':'))
  return { subnet: four?.subnet, gateway: four?.gateway, ipv6: ipv6 === false ? undefined : (six?.subnet ?? ipv6) }
}

/** @param made gets the names of those that were not there. */
export async function makeVolumes(running: Running, services: Services, loaded: Loaded, made: string[]): Promise<void> {
  const used = new Set<string>()
  for (const { volumes } of services.values())
    for (const { type, source } of volumes ?? []) if (type === 'volume' && source !== undefined) used.add(source)
  for (const key of used) {
    const volume = loaded.model.volumes.get(key)
    if (!volume) continue
    const name = volumeName(loaded, key)
    const [there] = await Volume.list({ name })
    if (volume.external) {
      if (there) continue
      throw composeError(
        volume.place,
        `there is no volume ${name}`,
        'Make it with Volume.create({ name }).',
        'ERR_CAISSON_VOLUME_NOT_FOUND',
      )
    }
    if (there) warnOfOther('volume', name, there.labels, loaded)
    await Volume.create({
      name,
      labels: { ...volume.labels, [labels.PROJECT_LABEL]: loaded.model.name, [labels.VOLUME_LABEL]: key },
    })
    running.volumes.add(name)
    if (!there) made.push(name)
  }
}
