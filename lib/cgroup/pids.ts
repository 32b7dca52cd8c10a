import { type Controller, max } from './controller.js'

/** Processes and threads. */
export const pids: Controller = {
  name: 'pids',
  legacy: 'pids',
  needed: (s) => s.pidsMax !== undefined,
  unified: (s) => (s.pidsMax === undefined ? [] : [{ file: 'pids.max', text: max(s.pidsMax) }]),
  legacyWrites: (s) => (s.pidsMax === undefined ? [] : [{ file: 'pids.max', text: max(s.pidsMax) }]),
}
