/** Descriptors: how documents point to content (image-spec descriptor.md). */
import type { Platform } from './platform.js'

export interface Descriptor {
  mediaType: string
  digest: string
  /** Bytes. */
  size: number
  /** Where else the content may be had. Never followed: see isForeignLayer. */
  urls?: string[]
  annotations?: Record<string, string>
  platform?: Platform
  artifactType?: string
  /** The content itself, in base64. */
  data?: string
}
