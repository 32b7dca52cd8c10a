/** The public surface of caisson; re-exports only. */
export { Container, type ContainerInfo, type CreateOptions } from './container.js'
export { CaissonError, type CaissonErrorOptions, type ErrorCode, type SystemCause } from './errors.js'
export { type ExecResult, Execution, type Reason } from './execution.js'
export { Image } from './image.js'
export type * from './options.js'
export { Pool, type PoolOptions } from './pool.js'
export { run } from './run.js'
export { Wait } from './wait.js'
