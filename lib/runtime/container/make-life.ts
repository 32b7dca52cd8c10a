/** The life of a container, of its options and its image's; and who is told of what happens in it. */
import type { EventEmitter } from 'node:events'
import { parseSize } from '../../util/units.js'
import { tierOf } from '../isolation/place.js'
import { announceExit, announceHealth, announceStart, type Subject } from '../process/events.js'
import type { Execs } from '../process/exec.js'
import { checkSignal } from '../process/verdict.js'
import { runNetwork } from './connections.js'
import { healthPlan, type Probe } from './health.js'
import { Life, type LifeEvents } from './life.js'
import { LiveStreams } from './live-streams.js'
import { LOG_LIMIT } from './log.js'
import type { Parts } from './parts.js'
import { checkRestart } from './restart.js'

/** What the object that the user has brings to it. */
export interface Face {
  emitter: EventEmitter
  execs: Execs
  log: string
  live?: LiveStreams
  probe: Probe
  beforeStart(): Promise<void>
  /** Its state has changed. */
  changed(): void
}

export function makeLife(parts: Parts, face: Face): Life {
  const { assembled, options, imageConfig, hooks } = parts
  const { log, live, probe, beforeStart } = face
  return new Life({
    assembled,
    log,
    live,
    logLimit: logLimitOf(parts),
    stdinOpen: options.stdinOpen ?? false,
    stopSignal: checkSignal(options.stopSignal ?? imageConfig.StopSignal ?? 'SIGTERM', 'stopSignal'),
    health: healthPlan(options.healthcheck, imageConfig.Healthcheck),
    probe,
    restart: checkRestart(options.restart),
    hooks,
    beforeStart,
    network: runNetwork(parts),
    events: eventsOf(parts, face),
  })
}

/** For a container that others attach to. */
export function liveStreams(parts: Parts, log: string): LiveStreams | undefined {
  const { options, assembled } = parts
  if (!options.attachable) return undefined
  const terminal = assembled.workload.spec.process?.terminal ?? false
  return new LiveStreams({ log, logLimit: logLimitOf(parts), terminal, stdinOpen: options.stdinOpen ?? false })
}

/** Bytes. */
function logLimitOf({ options: { logLimit } }: Parts): number {
  return logLimit === undefined ? LOG_LIMIT : parseSize(logLimit, 'logLimit')
}

function eventsOf({ id, assembled: { workload } }: Parts, { emitter, execs, changed }: Face): LifeEvents {
  const subject = (): Subject => {
    const command = workload.spec.process?.args ?? []
    return { kind: 'container', container: id, command, tier: tierOf(workload) }
  }
  return {
    started(pid) {
      announceStart(subject(), pid)
      emitter.emit('start', pid)
    },
    ended(result) {
      execs.endAll()
      announceExit(subject(), result)
      execs.forget()
      if (result.reason === 'oom') emitter.emit('oom')
      emitter.emit('exit', result)
    },
    health(status) {
      announceHealth(subject(), status)
      emitter.emit('health', status)
    },
    changed,
  }
}
