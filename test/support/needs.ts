/** Tests that need something of the machine: where it is missing they are skipped, and their name says why. */
import { accessSync, constants } from 'node:fs'
import path from 'node:path'

export const isRoot = process.geteuid?.() === 0

/** For testIf: fixtures that belong to several users. */
export const noOthersFiles = !isRoot && 'only root can make files of others'

/** Where a program is, of those that setup installs. */
export function findProgram(name: string): string | undefined {
  const places = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin']
  return places
    .map((place) => path.join(place, name))
    .find((file) => {
      try {
        accessSync(file, constants.X_OK)
        return true
      } catch {
        return false
      }
    })
}

type Body = () => Promise<void>

/** `test`, or with a reason in `missing` a skipped one. */
export function testIf(missing: string | false | undefined) {
  return (name: string, body: Body, timeout?: number): void => {
    if (missing) test.skip(`${name} (not here: ${missing})`, body)
    else test(name, body, timeout)
  }
}
