/** The OCI image configuration (image-spec config.md), and Docker's additions to it. */
import type { Platform } from './platform.js'

/** The document that a manifest calls `config`. */
export interface ImageDocument extends Platform {
  created?: string
  author?: string
  config: ImageConfig
  rootfs: { type: 'layers'; diff_ids: string[] }
  history: HistoryEntry[]
}

/** How a layer, or only the configuration, came about. */
export interface HistoryEntry {
  created?: string
  created_by?: string
  author?: string
  comment?: string
  empty_layer?: boolean
}

/** What containers of an image are started with. */

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
