/**
 * What many programs have in common: whoever runs many does so with the same image or container, and the same options.
 * What follows from these is decided once, and kept by the addon; each program then brings its id, its files and its
 * command.
 */
import type { AccountFiles } from '../../cgroup/accounts.js'
import { type CgroupPlan, nativeCgroup } from '../../cgroup/plan.js'
import { accountPaths } from '../../cgroup/usage.js'
import { addon, type NativeTemplate, type NativeTemplateRequest } from '../../native/addon.js'
import type { Note } from '../../native/failure.js'
import { newId } from '../../util/ids.js'
import type { Lowered } from '../lower/lower.js'
import type { Plan } from '../lower/plan.js'
import type { LoweredRoom } from '../lower/room.js'
import { duplicate } from './namespaces.js'
import { Running, type RunningEvents } from './running.js'
import type { StartRequest } from './start.js'

export interface Program {
  id: string
  /** Its id is that of a room. */
  inRoom?: boolean
  /** Records for the end of the plan: the program's execution. */
  execution: Plan
  /** Records for the place where files are written. */
  files?: Plan
  /** For the first slots; taken over. */
  inherited?: number[]
}

export interface Started {
  running: Running
  files: AccountFiles
  /** What the records of its plan are for. */
  notes(): Note[]
}

/** What the records of a plan are for, and the number of the first after the files. */
interface TemplateNotes {
  records: readonly Note[]
  filesAt: number
}

export class Template {
  readonly #native: NativeTemplate
  readonly #placeholder: string
  readonly #notes: TemplateNotes
  readonly #inRoom: TemplateNotes | undefined
  readonly files: AccountFiles
  /** Descriptors of others that each process inherits a duplicate of, unless it brings its own. */
  readonly #inherited: readonly number[]

  /**
   * `placeholder` was the id when the plans were made; they end before the program's execution. `heir`: a descriptor that
   * who waits in a room inherits; taken over.
   */
  constructor(
    placeholder: string,
    lowered: Lowered,
    cgroup: CgroupPlan,
    more: Pick<NativeTemplateRequest, 'devices' | 'killRest' | 'marked'>,
    room?: LoweredRoom,
    heir = -1,
  ) {
    const { plan, filesAt = plan.position } = lowered
    this.#placeholder = placeholder
    this.#notes = { records: plan.notes, filesAt: filesAt.record }
    if (room) this.#inRoom = { records: room.plan.notes, filesAt: (room.filesAt ?? room.plan.position).record }
    this.files = cgroup.files
    this.#inherited = plan.inherited
    this.#native = addon().template({
      ...more,
      plan: plan.finish(),
      placeholder,
      insertAt: filesAt.at,
      namespaces: lowered.cloneFlags,
      cgroup: nativeCgroup(cgroup),
      bornOutside: lowered.attended,
      prepare: cgroup.prepare,
      awaitsSteps: cgroup.join.length > 0,
      inheritedPaths: plan.inheritedPaths,
      newNetwork: plan.hasNewNetwork,
      ownPids: lowered.ownPids,
      guarded: lowered.guarded,
      collect: accountPaths(cgroup.files),
      cpuFile: cgroup.files.cpu,
      oomControl: cgroup.oomControl,
      room: room && {
        furnishing: room.furnishing?.finish(),
        own: room.own,
        kept: room.kept,
        ahead: room.ahead && { plan: room.ahead.plan, inherited: heir },
        plan: room.plan.finish(),
        insertAt: (room.filesAt ?? room.plan.position).at,
        namespaces: room.cloneFlags,
      },
    })
    plan.release()
  }

  /** For the next start: that of a room that is ready, or a new one. The room waits for that start, or for giveBack(). */
  newId(): { id: string; inRoom: boolean } {
    const id = this.#inRoom ? addon().takeRoom(this.#native) : ''
    return id === '' ? { id: newId(), inRoom: false } : { id, inRoom: true }
  }

  /** Of a start that there is none of after all. */
  giveBack({ id, inRoom }: Pick<Program, 'id' | 'inRoom'>): void {
    if (inRoom) addon().giveRoomBack(this.#native, id)
  }

  /** Nothing is made ahead for it any more. */
  close(): void {
    addon().closeTemplate(this.#native)
  }

  start({ id, inRoom, execution, files, inherited }: Program, request: StartRequest, events: RunningEvents): Started {
    const running = new Running(
      {
        ...request,
        template: this.#native,
        id,
        inherited: inherited ?? this.#inherited.map(duplicate),
        appended: execution.records(),
        inserted: files?.records(),
        records: execution.notes.length + (files?.notes.length ?? 0),
      },
      events,
    )
    execution.release()
    files?.release()
    const notes = () => {
      const { records, filesAt: at } = (inRoom && this.#inRoom) || this.#notes
      const common = records.map((note) => ({ ...note, subject: note.subject.replaceAll(this.#placeholder, id) }))
      return [...common.slice(0, at), ...(files?.notes ?? []), ...common.slice(at), ...execution.notes]
    }
    return { running, files: this.files, notes }
  }
}
