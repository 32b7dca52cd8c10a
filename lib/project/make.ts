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
    const there = (await Volume.list({ name })).length > 0
    if (volume.external) {
      if (there) continue
      throw composeError(
        volume.place,
        `there is no volume ${name}`,
        'Make it with Volume.create({ name }).',
        'ERR_CAISSON_VOLUME_NOT_FOUND',
      )
    }
    await Volume.create({
      name,
      labels: { ...volume.labels, [labels.PROJECT_LABEL]: loaded.model.name, [labels.VOLUME_LABEL]: key },
    })
    running.volumes.add(name)
    if (!there) made.push(name)
  }
}
