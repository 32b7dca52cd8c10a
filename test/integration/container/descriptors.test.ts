/** Starts that run out of descriptors, at whatever point: none is left open, and the container can be started again. */
import { execFileSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import path from 'node:path'
import { findProgram, testIf } from '../../support/needs.js'
import { Peer } from '../../support/peer.js'
import { removeScratch, scratch } from '../../support/tree.js'

afterAll(removeScratch)

const SOFT = 1024
/** Descriptors that are left for a start: with the most of them it succeeds. */
const ROOMS = 50

describe('a container that cannot be started for want of descriptors', () => {
  const kinds: Array<[name: string, options: object]> = [
    ['with a log', {}],
    ['that others attach to', { attachable: true }],
    ['that others attach to, with an input', { attachable: true, stdinOpen: true }],
  ]
  for (const [name, options] of kinds)
    testIf(!findProgram('prlimit') && 'no prlimit')(name, async () => {
      const peer = new Peer({ CAISSON_ROOT: path.join(scratch(), 'root') })
      const bound = (soft: number) => execFileSync('prlimit', ['--pid', String(peer.pid), `--nofile=${soft}:`])
      const open = () => readdirSync(`/proc/${peer.pid}/fd`).length
      const start = () =>
        peer.ask<string>(`
          const code = await kept.container.start().then(() => '', (error) => error.code ?? String(error))
          if (code === '') await kept.container.wait()
          await new Promise((resolve) => setTimeout(resolve, 20))
          return code`)
      try {
        bound(SOFT)
        await peer.ask(`
          const options = { command: ['echo', 'said'], ...${JSON.stringify(options)} }
          kept.container = await caisson.Container.create(await caisson.Image.host(), options)`)
        // What is opened once, and kept, is open then.
        for (let i = 0; i < 2; i++) await start()
        const before = open()
        const codes: string[] = []
        for (let room = 0; room < ROOMS; room++) {
          bound(before + room)
          codes.push(await start())
          bound(SOFT)
        }
        expect(codes.filter((code) => code !== '').length).toBeGreaterThan(3)
        expect(new Set(codes)).toEqual(new Set(['ERR_CAISSON_RESOURCE_EXHAUSTED', '']))
        expect(await start()).toBe('')
        // Fewer: what was made ahead may have gone meanwhile.
        expect(open()).toBeLessThanOrEqual(before)
      } finally {
        await peer.end('SIGKILL')
      }
    })
})
