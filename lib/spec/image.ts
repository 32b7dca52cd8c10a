/** The OCI image configuration (image-spec config.md), and Docker's additions to it. */

export interface ImageConfig {
  User?: string
  ExposedPorts?: Record<string, Record<string, never>>
  Env?: string[]
  Entrypoint?: string[]
  Cmd?: string[]
  Volumes?: Record<string, Record<string, never>>
  WorkingDir?: string
  Labels?: Record<string, string>
  StopSignal?: string
  Healthcheck?: HealthConfig
  Shell?: string[]
  OnBuild?: string[]
}

/** Times in nanoseconds, as Docker stores them. */
export interface HealthConfig {
  Test?: string[]
  Interval?: number
  Timeout?: number
  StartPeriod?: number
  StartInterval?: number
  Retries?: number
}
