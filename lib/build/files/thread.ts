/** The thread that reads files for builds, so that the event loop of the application does not wait for disks. */
import { parentPort } from 'node:worker_threads'
import type { FileTasks } from './entry.js'
import { faultOf } from './fault.js'
import { beginningsOf, copyTo, digestsOf } from './read.js'
import { indexArchive, packMembers } from './tar.js'

type Work = { [Name in keyof FileTasks]: (ask: FileTasks[Name]['ask']) => FileTasks[Name]['answer'] }

const WORK: Work = {
  index: ({ file }) => indexArchive(file),
  digest: ({ files }) => digestsOf(files),
  begin: ({ files, bytes }) => beginningsOf(files, bytes),
  copy: ({ file, fd }) => copyTo(file, fd),
  pack: ({ members, fd }) => packMembers(members, fd),
}

parentPort?.on('message', ({ id, name, ask }: { id: number; name: keyof FileTasks; ask: never }) => {
  try {
    parentPort?.postMessage({ id, answer: WORK[name](ask) })
  } catch (error) {
    parentPort?.postMessage({ id, fault: faultOf(error, '') })
  }
})
