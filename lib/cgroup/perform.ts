/** Writes to cgroup files, off the event loop, with errors that name the file. */
import { addon, type NativeFailure, type NativeStep } from '../native/addon.js'
import { errorFromFailure } from '../native/failure.js'

export async function perform(steps: NativeStep[]): Promise<void> {
  try {
    await addon().perform(steps)
  } catch (failure) {
    throw errorFromFailure(failure as NativeFailure)
  }
}
