/** Files of the kernel that make the host do something. Attacks open them for writing, and write nothing. */
import { existsSync } from 'node:fs'
import { attack, WEAK } from '../support/attack.js'
import { isRoot, testIf } from '../support/needs.js'

const KNOBS = [
  '/proc/sys/kernel/core_pattern',
  '/proc/sys/kernel/modprobe',
  '/proc/sys/vm/panic_on_oom',
  '/proc/sys/fs/binfmt_misc/register',
  '/proc/sysrq-trigger',
  '/proc/irq/default_smp_affinity',
  '/sys/kernel/uevent_helper',
  '/sys/kernel/mm/transparent_hugepage/enabled',
  '/sys/power/state',
  '/sys/module/printk/parameters/time',
].filter((file) => existsSync(file))

const open = `for path in ${JSON.stringify(KNOBS)}: print(tried(lambda: os.close(os.open(path, os.O_WRONLY))))`

describe('knobs of the host', () => {
  test('cannot be turned', async () => {
    for (const answer of await attack(open)) expect(['EROFS', 'EACCES', 'ENOENT']).toContain(answer)
  })

  test('cannot be turned by root with every capability either', async () => {
    const options = { security: { capabilities: { add: ['ALL'] } } }
    for (const answer of await attack(open, options)) expect(['EROFS', 'EACCES', 'ENOENT']).toContain(answer)
  })

  testIf(!isRoot && 'in a user namespace they are the host’s root’s')(
    'are within reach of a privileged one',
    async () => {
      expect(new Set(await attack(open, WEAK))).toEqual(new Set(['done']))
    },
  )

  const agent = `
import glob
groups = glob.glob("/sys/fs/cgroup/**/release_agent", recursive=True) + glob.glob("/sys/fs/cgroup/**/notify_on_release", recursive=True)
for path in groups: print(tried(lambda: os.close(os.open(path, os.O_WRONLY))))
print(word(call("mount", b"cgroup", b"/mnt", b"cgroup", 0, b"pids")))`

  test('a cgroup cannot be told to run a program when it empties (CVE-2022-0492)', async () => {
    const options = { limits: isRoot ? { memory: '256m' } : {} }
    const answers = await attack(agent, options)
    expect(answers.at(-1)).toBe('EPERM')
    for (const answer of answers.slice(0, -1)) expect(answer).toBe('EROFS')
  })

  testIf(!isRoot && 'a user namespace mounts none of the host’s cgroups')(
    'a privileged one could tell it',
    async () => {
      const [answer] = (await attack(agent, WEAK)).slice(-1)
      // Where the controller is on cgroup v2, there is none to mount; but it might.
      expect(['done', 'EBUSY', 'EINVAL']).toContain(answer)
    },
  )
})
