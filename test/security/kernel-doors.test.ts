/** Calls of the kernel that programs do not need, and that most escapes went through. */
import { attack, WEAK } from '../support/attack.js'
import { isRoot } from '../support/needs.js'

/** Their arguments are wrong, so that those that get through do nothing. */
const DOORS: Record<string, string> = {
  io_uring_setup: '1, 0',
  userfaultfd: '0xffff',
  bpf: '0x7fff, 0, 0',
  perf_event_open: '0, 0, -1, 0, 0',
  keyctl: '99',
  add_key: '0, 0, 0, 0, 0',
  request_key: '0, 0, 0, 0',
  kexec_load: '0, 0, 0, 0xffff',
  init_module: '0, 0, 0',
  finit_module: '-1, 0, 0',
  delete_module: '0, 0',
  open_by_handle_at: '-1, 0, 0',
  mount: '0, 0, 0, 0, 0',
  umount2: '0, 0',
  pivot_root: '0, 0',
  fsopen: '0, 0',
  fsmount: '-1, 0, 0',
  fspick: '-1, 0, 0',
  open_tree: '-1, 0, 0',
  move_mount: '-1, 0, -1, 0, 0',
  mount_setattr: '-1, 0, 0, 0, 0',
  swapon: '0, 0',
  swapoff: '0',
  reboot: '0, 0, 0',
  clock_settime: '99, 0',
  acct: '1',
  quotactl: '-1, 0, 0, 0',
  syslog: '99, 0, 0',
  setns: '-1, 0',
  unshare: '0x10000000',
}

const calls = Object.entries(DOORS).map(([name, given]) => `print("${name}", word(call("${name}", ${given})))`)
const answers = async (options = {}) =>
  new Map((await attack(calls.join('\n'), options)).map((line) => line.split(' ') as [string, string]))

describe('doors of the kernel', () => {
  test('are all shut', async () => {
    expect(Object.fromEntries(await answers())).toEqual(
      Object.fromEntries(Object.keys(DOORS).map((name) => [name, 'EPERM'])),
    )
  })

  test('stay shut for a program that was given root’s rights over the host', async () => {
    const options = { security: { capabilities: { add: ['SYS_ADMIN'] } } }
    const open = [...(await answers(options))].filter(([, answer]) => answer !== 'EPERM').map(([name]) => name)
    for (const name of ['keyctl', 'add_key', 'userfaultfd', 'io_uring_setup', 'kexec_load', 'init_module'])
      expect(open).not.toContain(name)
  })

  test('are open without the filter', async () => {
    const open = [...(await answers(WEAK))].filter(([, answer]) => answer !== 'EPERM').map(([name]) => name)
    // In a user namespace the kernel itself refuses what changes the whole machine.
    const machine = 'bpf kexec_load init_module finit_module delete_module open_by_handle_at swapon swapoff reboot acct'
    const shut = isRoot ? [] : [...machine.split(' '), 'quotactl', 'syslog', 'userfaultfd', 'perf_event_open']
    for (const name of Object.keys(DOORS)) if (!shut.includes(name)) expect(open).toContain(name)
  })

  test('clone3 is not there, so that C libraries fall back to what can be filtered', async () => {
    expect(await attack('print(word(call("clone3", 0, 0)))')).toEqual(['ENOSYS'])
    expect(await attack('print(word(call("clone3", 0, 0)))', WEAK)).toEqual(['EINVAL'])
  })

  const nested = 'print(word(call("unshare", 0x10000000)), word(call("clone", 0x10000000 | 17, 0, 0, 0, 0)))'
  test('no user namespace is made inside, where a program would be root again', async () => {
    expect(await attack(nested)).toEqual(['EPERM EPERM'])
    expect(await attack('print(word(call("unshare", 0x10000000)))', WEAK)).toEqual(['done'])
  })
})
