/**
 * What happens, for those who watch: diagnostics_channel `caisson:start`, `caisson:exit`, `caisson:error` and
 * `caisson:health`, and lines on stderr with NODE_DEBUG=caisson.
 */
import { channel } from 'node:diagnostics_channel'
import { debuglog } from 'node:util'
import type { Usage } from '../../cgroup/usage.js'
import type { Tier } from '../isolation/isolation.js'
import type { Reason } from './verdict.js'

/** Which program of which container an event is about. */
export interface Subject {
  kind: 'run' | 'container' | 'exec' | 'pool'
  /** The container's id. */
  container: string
  command: readonly string[]
  /** What keeps it apart. */
  tier: Tier
}

export interface StartEvent extends Subject {
  /** As this process sees it. */
  pid: number
}

export interface ExitEvent extends Subject {
  exitCode: number | null
  signal: string | null
  reason: Reason
  durationMs: number
  usage: Usage
}

export interface HealthEvent extends Subject {
  health: 'starting' | 'healthy' | 'unhealthy' | 'none'
}

export interface ErrorEvent extends Subject {
  error: unknown
}

const channels = {
  start: channel('caisson:start'),
  exit: channel('caisson:exit'),
  error: channel('caisson:error'),
  health: channel('caisson:health'),
}
const debug = debuglog('caisson')

/** Whether anybody would hear announceStart(). */
export function startsAreWatched(): boolean {
  return channels.start.hasSubscribers || debug.enabled
}

export function announceStart(subject: Subject, pid: number): void {
  const { start } = channels
  if (start.hasSubscribers) start.publish({ ...subject, pid } satisfies StartEvent)
  if (debug.enabled) debug('%s %s: started %j as %d', subject.kind, subject.container, subject.command, pid)
}

export function announceExit(subject: Subject, result: Omit<ExitEvent, keyof Subject>): void {
  const { exit } = channels
  const { exitCode, signal, reason, durationMs, usage } = result
  if (exit.hasSubscribers) exit.publish({ ...subject, exitCode, signal, reason, durationMs, usage } satisfies ExitEvent)
  if (debug.enabled)
    debug(
      '%s %s: ended by %s, %s, after %d ms',
      subject.kind,
      subject.container,
      reason,
      signal ?? exitCode,
      durationMs.toFixed(1),
    )
}

export function announceError(subject: Subject, error: unknown): void {
  if (channels.error.hasSubscribers) channels.error.publish({ ...subject, error } satisfies ErrorEvent)
  if (debug.enabled) debug('%s %s: %s', subject.kind, subject.container, error)
}

export function announceHealth(subject: Subject, health: HealthEvent['health']): void {
  if (channels.health.hasSubscribers) channels.health.publish({ ...subject, health } satisfies HealthEvent)
  if (debug.enabled) debug('%s %s: %s', subject.kind, subject.container, health)
}
