/** What contradicts an egress policy: options that lead out some other way. */
import { CaissonError } from '../../errors.js'
import type { ContainerOptions } from '../../options.js'
import { normalizeCapability } from '../../spec/capabilities.js'
import type { NamespaceType } from './workload.js'

/** With each of these a program gets out of its namespaces, by the kernel's memory or the host's mounts. */
const WAYS_OUT = ['CAP_SYS_ADMIN', 'CAP_SYS_MODULE', 'CAP_SYS_PTRACE', 'CAP_SYS_RAWIO', 'CAP_BPF', 'ALL']
/** In a shared one there are processes and sockets of the host, or of containers without a policy. */
const OWN: readonly NamespaceType[] = ['net', 'pid', 'mnt']

/** Of options that have one. */
export function checkEgress(options: ContainerOptions): void {
  const { network, networks, ports, publishAllPorts, namespaces, security } = options
  if (network === 'none') throw contradiction('network: "none"', 'With egress alone there is no other way out either.')
  if (network === 'host')
    throw contradiction('network: "host"', "On the host's network nothing is in the way; choose one of both.")
  if (network !== undefined || (networks?.length ?? 0) > 0)
    throw new CaissonError('ERR_CAISSON_UNSUPPORTED', 'egress policies are for containers without another network', {
      stage: 'options',
      hint: 'Leave network and networks out, or egress; a rewrite leads to services on other networks.',
    })
  if ((ports?.length ?? 0) > 0 || publishAllPorts)
    throw contradiction('ports', 'Use container.connect(port), which needs none.')
  for (const type of OWN) {
    const choice = namespaces?.[type]
    if (choice !== undefined && choice !== 'private')
      throw contradiction(`namespaces.${type}`, 'Leave it out: what is shared leads out.')
  }
  if (security?.privileged) throw contradiction('security.privileged', 'Add the capabilities that are needed, by name.')
  const loose = security?.capabilities?.add?.map(normalizeCapability).find((name) => WAYS_OUT.includes(name))
  if (loose) throw contradiction(`security.capabilities.add: ${loose}`, 'With it a program gets out of its namespaces.')
}

function contradiction(option: string, hint: string): CaissonError {
  return new CaissonError('ERR_CAISSON_INVALID_ARGUMENT', `egress: ${option} contradicts it`, {
    stage: 'options',
    hint,
  })
}
