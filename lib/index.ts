/** The public surface of caisson; re-exports only. */
export { Cgroup, type CgroupEvent, type Stats } from './cgroup.js'
export { Container, type ContainerInfo, type CreateOptions } from './container.js'
export { doctor, type Finding, type FindingState, type Report } from './doctor.js'
export { CaissonError, type CaissonErrorOptions, type ErrorCode, type SystemCause } from './errors.js'
export { type ExecResult, Execution, type Reason } from './execution.js'
export type { UnpackOptions } from './image/unpack.js'
export { Image } from './image.js'
export type { Change } from './layer/diff.js'
export { Namespace, type NamespaceFilter, type NamespaceInfo, type NamespaceOptions } from './namespace.js'
export type { PublishedPort } from './network/ports.js'
export {
  type EndpointOptions,
  Network,
  type NetworkFilter,
  type NetworkInspection,
  type NetworkOptions,
} from './network.js'
export type * from './options.js'
export { Pool, type PoolOptions, type PoolRunOptions } from './pool.js'
export { run } from './run.js'
export type { ArchiveSource, PutArchiveOptions } from './runtime/container-archive.js'
export type { LandlockAccess, LandlockRules } from './spec/landlock.js'
export { Volume, type VolumeFilter, type VolumeOptions, type VolumeUsage } from './volume.js'
export { Wait } from './wait.js'
