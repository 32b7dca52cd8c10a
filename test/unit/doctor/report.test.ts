import { files, softLimit } from '../../../lib/doctor/limits.js'
import { kernelVersion } from '../../../lib/doctor/platform.js'
import { space } from '../../../lib/doctor/storage.js'

test.each([
  ['6.18.44-fc-v669', 'ok'],
  ['6.1.0-56-cloud-amd64', 'ok'],
  ['5.12.0', 'ok'],
  ['5.12-rc1', 'ok'],
  ['5.11.22', 'missing'],
  ['5.4.0-150-generic', 'missing'],
  ['4.19.0', 'missing'],
  ['', 'missing'],
])('kernel %s is %s', (release, state) => {
  const finding = kernelVersion(release)
  expect(finding.state).toBe(state)
  expect(finding.fix === '').toBe(state === 'ok')
})

const LIMITS = `Limit                     Soft Limit           Hard Limit           Units
Max cpu time              unlimited            unlimited            seconds
Max processes             96365                96365                processes
Max open files            1024                 1048576              files
`

test('limits are read from the text of the kernel', () => {
  expect(softLimit(LIMITS, 'Max open files')).toBe(1024)
  expect(softLimit(LIMITS, 'Max cpu time')).toBe(Number.POSITIVE_INFINITY)
  expect(softLimit(LIMITS, 'Max msgqueue size')).toBeUndefined()
})

test('few open files are a warning with a command', () => {
  expect(files(LIMITS)).toMatchObject({ state: 'warning', detail: '1024', fix: expect.stringContaining('ulimit -n') })
  expect(files(LIMITS.replace('1024 ', '65536'))).toMatchObject({ state: 'ok', fix: '' })
  expect(files('')).toMatchObject({ state: 'unknown' })
})

test.each([
  ['plenty', { bavail: 1e6, files: 1e6, ffree: 9e5 }, 'ok'],
  ['a file system without a count of inodes', { bavail: 1e6, files: 0, ffree: 0 }, 'ok'],
  ['little space', { bavail: 3e5, files: 1e6, ffree: 9e5 }, 'warning'],
  ['few inodes', { bavail: 1e6, files: 1e6, ffree: 100 }, 'warning'],
  ['none', { bavail: 0, files: 1e6, ffree: 9e5 }, 'missing'],
])('free space: %s', (_, given, state) => {
  expect(space('/data', { bsize: 4096, ...given }).state).toBe(state)
})
