/** The public surface of caisson; re-exports only. */
export { doctor, type Finding, type FindingState, type Report } from './doctor.js'
export { CaissonError, type CaissonErrorOptions, type ErrorCode, type SystemCause } from './errors.js'
export { type ExecResult, Execution, type Reason } from './execution.js'
export { Image } from './image.js'
export { Namespace, type NamespaceFilter, type NamespaceInfo, type NamespaceOptions } from './namespace.js'
export type * from './options.js'
export { run } from './run.js'
