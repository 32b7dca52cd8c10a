/** What was asked for must not silently be missing: a misspelled limit or protection is an error. */
import { invalidArgument } from '../../errors.js'
import type { ContainerOptions, ExecOptions, Limits, Mount, SecurityOptions } from '../../options.js'
import { checkNames, type Names } from '../../util/option-names.js'
import { checkEgress } from './egress.js'

const EXEC: Names<ExecOptions> = {
  env: true,
  workdir: true,
  user: true,
  tty: true,
  input: true,
  timeout: true,
  cpuTimeout: true,
  maxOutput: true,
  signal: true,
  throwOnError: true,
}

const POOL_RUN = { ...EXEC, files: true } as const

const CONTAINER: Names<ContainerOptions & ExecOptions> = {
  ...EXEC,
  name: true,
  hostname: true,
  domainname: true,
  entrypoint: true,
  labels: true,
  init: true,
  stopSignal: true,
  stopTimeout: true,
  files: true,
  mounts: true,
  readOnly: true,
  limits: true,
  ulimits: true,
  sysctls: true,
  devices: true,
  shmSize: true,
  storage: true,
  network: true,
  networks: true,
  ports: true,
  dns: true,
  dnsSearch: true,
  dnsOptions: true,
  extraHosts: true,
  namespaces: true,
  security: true,
  pull: true,
  platform: true,
  egress: true,
  healthcheck: true,
  restart: true,
  stdinOpen: true,
  logLimit: true,
  oomScoreAdj: true,
  groups: true,
}

const LIMITS: Names<Limits> = {
  memory: true,
  memorySwap: true,
  memoryHigh: true,
  cpus: true,
  cpuWeight: true,
  cpuset: true,
  pids: true,
  io: true,
  disk: true,
  hugepages: true,
  unified: true,
}

const SECURITY: Names<SecurityOptions> = {
  capabilities: true,
  seccomp: true,
  noNewPrivileges: true,
  privileged: true,
  maskedPaths: true,
  readonlyPaths: true,
  userns: true,
  landlock: true,
  require: true,
}

const MOUNT: Names<Mount> = {
  type: true,
  source: true,
  target: true,
  readOnly: true,
  size: true,
  propagation: true,
  idmap: true,
}

export function checkContainerOptions(options: ContainerOptions): void {
  checkNames(options, CONTAINER, '')
  checkNames(options.limits, LIMITS, 'limits.')
  checkNames(options.security, SECURITY, 'security.')
  for (const [i, mount] of (options.mounts ?? []).entries()) checkNames(mount, MOUNT, `mounts[${i}].`)
  checkValues(options)
}

export function checkExecOptions(options: ExecOptions): void {
  checkNames(options, EXEC, '')
}

/** Of Pool.run(). */
export function checkPoolRunOptions(options: ExecOptions & { files?: unknown }): void {
  checkNames(options, POOL_RUN, '')
}

function checkValues(options: ContainerOptions): void {
  const { network, egress, security } = options
  if (network !== undefined && typeof network !== 'object' && typeof network !== 'string')
    throw invalidArgument('network', network, 'none, host, bridge, a Network or its name, or a running Container')
  if (egress !== undefined) checkEgress(options)
  const require = security?.require
  if (require !== undefined && require !== 'namespaces' && require !== 'landlock')
    throw invalidArgument('security.require', require, 'namespaces or landlock')
}
