/** Errors of the thread that reads files: they go to another thread as data, with the file that they are about. */
import type { FileFault } from './entry.js'

export class FaultAt extends Error {
  readonly fault: FileFault

  constructor(fault: FileFault) {
    super(fault.message)
    this.fault = fault
  }
}

/** Runs work whose errors are about this file. */
export function setFault<T>(path: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    throw error instanceof FaultAt ? error : new FaultAt(faultOf(error, path))
  }
}

export function faultOf(error: unknown, path: string): FileFault {
  if (error instanceof FaultAt) return error.fault
  const { message, code, syscall, errno } = error as NodeJS.ErrnoException
  return { message, path, code, syscall, errno }
}
