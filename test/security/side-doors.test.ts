/** What the kernel tells about the host and its other programs. */
import { existsSync, readFileSync } from 'node:fs'
import { attack, WEAK } from '../support/attack.js'
import { isRoot, testIf } from '../support/needs.js'

const FILES = [
  '/proc/kcore',
  '/proc/keys',
  '/proc/timer_list',
  '/proc/sched_debug',
  '/proc/interrupts',
  '/proc/latency_stats',
].filter((file) => existsSync(file))
const DIRECTORIES = [
  '/proc/acpi',
  '/proc/scsi',
  '/proc/asound',
  '/sys/firmware',
  '/sys/devices/virtual/powercap',
].filter((directory) => existsSync(directory))

const look = `
for path in ${JSON.stringify(FILES)}: print(path, len(open(path, "rb").read(64)))
for path in ${JSON.stringify(DIRECTORIES)}: print(path, len(os.listdir(path)))`

describe('side doors', () => {
  test('show nothing', async () => {
    expect(await attack(look)).toEqual([...FILES, ...DIRECTORIES].map((at) => `${at} 0`))
  })

  testIf(!isRoot && 'the files are the host’s root’s')('would show something', async () => {
    const shown = (await attack(look, WEAK)).filter((line) => !line.endsWith(' 0'))
    expect(shown.map((line) => line.split(' ')[0])).toEqual(
      expect.arrayContaining(['/proc/timer_list', '/proc/interrupts']),
    )
  })

  test('masks cannot be taken away', async () => {
    const off =
      'for path in (b"/proc/timer_list", b"/proc/sys", b"/sys/firmware"): print(word(call("umount2", path, 2)))'
    expect(await attack(off)).toEqual(['EPERM', 'EPERM', 'EPERM'])
    expect((await attack(off, { security: { capabilities: { add: ['SYS_ADMIN'] } } })).slice(0, 2)).toEqual([
      'done',
      'done',
    ])
  })

  test('a second procfs without them cannot be mounted', async () => {
    const mount = 'print(word(call("mount", b"proc", b"/mnt", b"proc", 0, 0)))'
    expect(await attack(mount)).toEqual(['EPERM'])
    expect(await attack(mount, WEAK)).toEqual(['done'])
  })

  test('the log of the kernel cannot be read, nor where its code is', async () => {
    const log = 'print(word(call("syslog", 10, 0, 0)), os.path.exists("/dev/kmsg"))'
    expect(await attack(log)).toEqual(['EPERM False'])
    if (isRoot) expect((await attack(log, WEAK))[0]).toMatch(/^done/)
    const symbols = 'print(open("/proc/kallsyms").readline().split()[0] if os.path.exists("/proc/kallsyms") else "0")'
    expect((await attack(symbols))[0]).toMatch(/^0+$/)
    // What the host's root is told depends on kernel.kptr_restrict.
    const [address] = readFileSync('/proc/kallsyms', 'utf8').split(' ', 1)
    if (isRoot) expect(await attack(symbols, WEAK)).toEqual([address])
  })

  test('the clock of the host cannot be set, nor made faster or slower', async () => {
    // To what it is: CLOCK_REALTIME, with the time that it just gave.
    const set = 'import time\ntime_now = time.clock_gettime(0)\nprint(tried(lambda: time.clock_settime(0, time_now)))'
    expect(await attack(set)).toEqual(['EPERM'])
    // ADJ_TICK (adjtimex(2)), with the tick that it has.
    const adjust = `
timex = ctypes.create_string_buffer(256)
call("adjtimex", timex)
timex[0:4] = (0x4000).to_bytes(4, sys.byteorder)
print(word(call("adjtimex", timex)))`
    expect(await attack(adjust)).toEqual(['EPERM'])
    if (isRoot) expect(await attack(adjust, { security: { capabilities: { add: ['SYS_TIME'] } } })).toEqual(['done'])
  })
})
