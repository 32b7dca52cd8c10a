/** The public surface of caisson; re-exports only. */
export type { PruneCacheOptions } from './build/cache.js'
export type {
  BuildEvent,
  BuildOptions,
  BuildOutput,
  BuildStepEvent,
  CacheSource,
  CacheTarget,
  InlineCache,
  RegistryCache,
  SecretSource,
} from './build/options.js'
export type { Usage } from './cgroup/usage.js'
export { Cgroup, type CgroupEvent, type Stats } from './cgroup.js'
export type { CommitOptions } from './commit.js'
export type { ProjectConfig } from './compose/write.js'
export { type ComposeOptions, compose } from './compose.js'
export { Container } from './container.js'
export { doctor, type Finding, type FindingState, type Report } from './doctor.js'
export { CaissonError, type CaissonErrorOptions, type ErrorCode, type SystemCause } from './errors.js'
export { type ExecResult, Execution, type Reason } from './execution.js'
export { Group, type GroupEnd, type GroupMember, type GroupOptions } from './group.js'
export type { ImageHistory, ImageInspection, ImageLayer } from './image/describe.js'
export type { ImageFilter } from './image/filter.js'
export type { LoadOptions, LoadSource } from './image/load.js'
export type { Pruned, PruneFilter } from './image/remove.js'
export type { SaveOptions } from './image/save.js'
export type { PullOptions, PushedImage, PushOptions, TransferOptions } from './image/transfer.js'
export type { UnpackOptions } from './image/unpack.js'
export { Image } from './image.js'
export type { Change } from './layer/diff.js'
export type { LayerLimits } from './layer/options.js'
export { Namespace, type NamespaceFilter, type NamespaceInfo, type NamespaceOptions } from './namespace.js'
export type { DeviceFigures } from './network/device-figures.js'
export type {
  EgressEvent,
  EgressFunction,
  EgressOption,
  EgressReason,
  EgressRequest,
  EgressUsage,
  Verdict,
} from './network/egress/request.js'
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
export type { ProjectExecOptions, ProjectExecution, ProjectExit } from './project/exec.js'
export type { FetchOptions as ProjectPullOptions, ImageBuildOptions as ProjectBuildOptions } from './project/images.js'
export type { ProjectLogEntry, ProjectLogOptions } from './project/logs.js'
export type { Project, ProjectChangeOptions, ProjectDownOptions } from './project/project.js'
export type { ProjectContainer } from './project/running.js'
export type { UpOptions } from './project/up.js'
export type { TransferEvent } from './registry/progress.js'
export { run } from './run.js'
export type { ArchiveSource, PutArchiveOptions } from './runtime/container/archive.js'
export type { ContainerStats } from './runtime/container/container-stats.js'
export type { DirectoryEntry, FileStatus } from './runtime/container/file-status.js'
export type { ContainerFs } from './runtime/container/fs.js'
export type { Health } from './runtime/container/health.js'
export type { ContainerInspection } from './runtime/container/inspect.js'
export type { ContainerState } from './runtime/container/life.js'
export type { AttachedStreams, AttachOptions } from './runtime/container/live-streams.js'
export type { LogEntry, LogOptions } from './runtime/container/log.js'
export type { ProcessInfo } from './runtime/container/processes.js'
export type { ContainerFilter, ContainerInfo } from './runtime/container/registry.js'
export type { Tier } from './runtime/isolation/isolation.js'
export type { IsolationReport } from './runtime/isolation/told.js'
export type { ImageConfig } from './spec/image.js'
export type { LandlockAccess, LandlockRules } from './spec/landlock.js'
export type { StoreProblem, StoreReport } from './store/verify.js'
export { type StoreUsage, storeUsage, type VerifyStoreOptions, verifyStore } from './verify.js'
export { Volume, type VolumeFilter, type VolumeInspection, type VolumeOptions, type VolumeUsage } from './volume.js'
export { type HttpWaitOptions, Wait, type WaitOptions } from './wait.js'
