/**
 * The process that works on layers inside the user namespace of an ordinary user (runtime/user/layers-inside.ts starts it).
 *
 * It is told what to do by the second descriptor that it inherits: a list of changes is too long for an argument. Bytes of an archive come by standard input, or go to standard output; progress
 * and the result are lines of JSON on the first descriptor that it inherits.
 */
import { readFileSync, writeSync } from 'node:fs'
import { addon } from '../native/addon.js'
import type { NativeLayer, NativeRunning } from '../native/layer.js'

/** Where inherited descriptors begin (PLAN_FD_FIRST of addon/init/plan.h). */
export const FIRST_FD = 5

export type LayerTask =
  | {
      [Name in 'apply' | 'diff' | 'settle']: { name: Name; options: Parameters<NativeLayer[Name]>[0] }
    }['apply' | 'diff' | 'settle']
  | { name: 'pack'; options: Parameters<NativeLayer['pack']>[0] }
  | { name: 'remove'; directory: string; entry: string }

export type LayerLine = { progress: [bytes: number, entries: number] } | { result: unknown } | { fault: unknown }

const STDIN = 0
const STDOUT = 1

function perform(task: LayerTask): NativeRunning<unknown> {
  const { layer } = addon()
  switch (task.name) {
    case 'apply':
      return layer.apply({ source: STDIN, ...task.options }, (bytes, entries) => tell({ progress: [bytes, entries] }))
    case 'pack':
      return layer.pack(task.options, STDOUT)
    case 'diff':
      return layer.diff(task.options)
    case 'settle':
      return layer.settle(task.options)
    case 'remove':
      return layer.remove(task.directory, task.entry)
  }
}

function tell(line: LayerLine): void {
  writeSync(FIRST_FD, `${JSON.stringify(line)}\n`)
}

perform(JSON.parse(readFileSync(FIRST_FD + 1, 'utf8'))).done.then(
  (result) => tell({ result: result ?? null }),
  (fault) => tell({ fault }),
)
