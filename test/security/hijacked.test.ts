/**
 * Processes of ours that a program of a container can get hold of: those that enter, which it may stop, and with
 * CAP_SYS_PTRACE trace; and those that stay in its sight. Whatever it makes them do concerns nobody but itself.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Container, type CreateOptions, run } from '../../lib/index.js'
import type { RuntimeSpec } from '../../lib/spec/runtime.js'
import { begun, hostImage, python } from '../support/attack.js'
import { isRoot, testIf } from '../support/needs.js'

const TRACING: CreateOptions = { security: { capabilities: { add: ['SYS_PTRACE'] } } }

async function started(options: CreateOptions): Promise<Container> {
  const container = await Container.create(await hostImage(), { command: ['sleep', '1000'], ...options })
  await container.start()
  return container
}

/** `each(pid)` for every process that is born in the container, at once; until it gives true. */
const LIE_IN_WAIT = `
def following(): return int(open("/proc/loadavg").read().split()[-1]) + 1
def lie_in_wait(call_on, each):
    pid, tries = following(), 0
    print("waiting")
    while True:
        tries += 1
        found = call_on(pid)
        if found >= 0:
            if each(pid, found): return
            pid += 1
        if tries % 500 == 0:
            if os.path.exists("/stop"): return
            pid = following()
`

test('one that is stopped on its way in keeps nobody else waiting, and us not for long', async () => {
  await using container = await started({})
  const guest = container.exec(python(`${LIE_IN_WAIT}lie_in_wait(lambda pid: call("kill", pid, 19), lambda *_: False)`))
  await begun(guest)
  // As many as may be on their way at a time (addon/core/gate.h).
  const places = Math.max(2, 2 * availableParallelism())
  const entering: Array<Promise<unknown>> = []
  let stopped = 0
  for (let i = 0; i < 40 * places && stopped < places; i++) {
    const entry = container.exec(['true'], { timeout: 100 }).catch((error) => error)
    entering.push(entry)
    if ((await Promise.race([entry, sleep(300, 'stopped')])) === 'stopped') stopped++
  }
  expect(stopped).toBe(places)
  const before = performance.now()
  await run(await hostImage(), ['true'])
  expect(performance.now() - before).toBeLessThan(10_000)
  // A program that may run for 100 ms is not waited for as long as one that enters at leisure.
  const ends = await Promise.all(entering)
  expect(performance.now() - before).toBeLessThan(20_000)
  expect(ends).toContainEqual(expect.objectContaining({ code: 'ERR_CAISSON_TIMEOUT' }))
}, 60_000)

/** MESSAGE_CHILD of addon/init/plan.h: that there is another process, by its number and without a descriptor. */
const tellOf = (pid: number | undefined) => `
import socket, struct
def tell(pid, pidfd):
    fd = call("pidfd_getfd", pidfd, 3, 0)
    os.close(pidfd)
    if fd < 0: return False
    with socket.socket(fileno=fd) as control:
        try: control.sendmsg([struct.pack("=IiII24s216s", 4, 0, 0, ${pid}, b"", b"")])
        except OSError: return False
    print("told")
    return True
lie_in_wait(lambda pid: call("pidfd_open", pid, 0), tell)`

testIf(!isRoot && 'what enters an ordinary user’s container is out of reach for those in it')(
  'the socket of one that enters ends no process by a number that is sent',
  async () => {
    const victim = spawn('sleep', ['1000'])
    const ended = once(victim, 'exit')
    await using container = await started(TRACING)
    const guest = container.exec(python(LIE_IN_WAIT + tellOf(victim.pid)))
    await begun(guest)
    let over = false
    void guest.then(() => {
      over = true
    })
    for (let i = 0; i < 2000 && !over; i++) await container.exec(['true'], { timeout: 5000 }).catch(() => undefined)
    // It is sent; a number alone ends nobody.
    expect((await guest).stdout).toContain('told')
    expect(await container.exec(['true'])).toMatchObject({ exitCode: 0 })
    expect([victim.exitCode, victim.signalCode]).toEqual([null, null])
    victim.kill()
    await ended
  },
)

/** Messages of addon/init/plan.h, by the socket of one that is stopped on its way in: `what`, and a descriptor beside it. */
const forge = (type: number, descriptor: string) => `
import socket, struct
def forge(pid, pidfd):
    call("kill", pid, 19)
    fd = call("pidfd_getfd", pidfd, 3, 0)
    os.close(pidfd)
    if fd < 0: return call("kill", pid, 18) > 0
    beside = ${descriptor}
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", beside))] if beside >= 0 else []
    with socket.socket(fileno=fd) as control:
        try: control.sendmsg([struct.pack("=IiII24s216s", ${type}, 0, 0, 0, b"", b"")], rights)
        except OSError: return call("kill", pid, 18) > 0
    print("told")
    return True
lie_in_wait(lambda pid: call("pidfd_open", pid, 0), forge)`

const SAID: Array<[string, number, string]> = [
  ['that it waits for a plan, as those do that nobody hurries', 6, '-1'],
  ['that it has made way for another', 3, 'call("pidfd_open", os.getpid(), 0)'],
  ['that a file is its terminal', 5, 'os.open("/dev/null", os.O_RDWR)'],
  ['that it has a terminal, for which nobody has asked', 5, 'os.openpty()[0]'],
  ['that hooks are to be run, of which there are none', 2, '-1'],
]
for (const [what, type, descriptor] of SAID)
  testIf(!isRoot && 'what enters an ordinary user’s container is out of reach for those in it')(
    `who says for one that enters ${what}, keeps nobody waiting and ends nothing of ours`,
    async () => {
      await using container = await started(TRACING)
      const guest = container.exec(python(LIE_IN_WAIT + forge(type, descriptor)))
      await begun(guest)
      let over = false
      void guest.then(() => {
        over = true
      })
      const entries: Array<Promise<unknown>> = []
      for (let i = 0; i < 500 && !over; i++) {
        const entry = container.exec(['true'], { timeout: 100 }).catch((error) => error)
        entries.push(entry)
        await Promise.race([entry, sleep(200)])
      }
      expect(
        await Promise.race([run(await hostImage(), ['true']), sleep(20_000, 'stopped', { ref: false })]),
      ).toMatchObject({ exitCode: 0 })
      expect((await guest).stdout).toContain('told')
      expect(await Promise.race([Promise.all(entries), sleep(20_000, 'stopped', { ref: false })])).not.toBe('stopped')
    },
    120_000,
  )

/** Says `type` again and again from several processes, for as long as anybody listens or half a minute. */
const shout = (type: number) => `
import socket, struct, time
def shout(pid, pidfd):
    call("kill", pid, 19)
    fd = call("pidfd_getfd", pidfd, 3, 0)
    os.close(pidfd)
    if fd < 0: return call("kill", pid, 18) > 0
    said = struct.pack("=IiII24s216s", ${type}, 0, 0, 0, b"", b"")
    end = time.time() + 30
    print("told", flush=True)
    for _ in range(4):
        if os.fork() == 0: break
    with socket.socket(fileno=fd) as control:
        try:
            while time.time() < end: control.sendmsg([said])
        except OSError: pass
    return True
lie_in_wait(lambda pid: call("pidfd_open", pid, 0), shout)`

// That hooks are to be run, which the event loop would hear each time; and what means nothing.
for (const type of [2, 99])
  testIf(!isRoot && 'what enters an ordinary user’s container is out of reach for those in it')(
    `who says ${type} for one that enters, and does not stop, has nobody listen to it alone`,
    async () => {
      await using container = await started(TRACING)
      let told = ''
      const guest = container.exec(python(LIE_IN_WAIT + shout(type)))
      guest.stdout.on('data', (data) => {
        told += data
      })
      await begun(guest)
      const entries: Array<Promise<unknown>> = []
      for (let i = 0; i < 500 && !told.includes('told'); i++) {
        const entry = container.exec(['true'], { timeout: 5000 }).catch((error) => error)
        entries.push(entry)
        await Promise.race([entry, sleep(200)])
      }
      expect(told).toContain('told')
      const before = performance.now()
      // One that has to be ended in time, which the same thread sees to.
      expect(await run(await hostImage(), ['sleep', '1000'], { timeout: 200 })).toMatchObject({ reason: 'timeout' })
      expect(performance.now() - before).toBeLessThan(10_000)
      guest.kill()
      await Promise.all(entries)
    },
    120_000,
  )

/** Says of all that come into its sight, while they are set up, that hooks are to be run. */
const ASK_FOR_HOOKS = `
import socket, struct
def ask(pid, pidfd):
    fd = call("pidfd_getfd", pidfd, 3, 0)
    os.close(pidfd)
    if fd < 0: return False
    with socket.socket(fileno=fd) as control:
        try:
            for _ in range(3): control.sendmsg([struct.pack("=IiII24s216s", 2, 2, 0, 0, b"", b"")])
        except OSError: return False
    print("told")
    return True
lie_in_wait(lambda pid: call("pidfd_open", pid, 0), ask)`

testIf(!isRoot && 'bundles with hooks that join a namespace are root’s')(
  'hooks of a container in the pid namespace of another are not run as often as that one says',
  async () => {
    const directory = mkdtempSync(path.join(tmpdir(), 'caisson-hooks-'))
    const ran = path.join(directory, 'ran')
    await using container = await started(TRACING)
    await using made = await Container.create(await hostImage(), { command: ['true'] })
    const { bundle } = made.inspect()
    const file = path.join(bundle, 'config.json')
    const spec = JSON.parse(readFileSync(file, 'utf8')) as RuntimeSpec & Required<Pick<RuntimeSpec, 'linux'>>
    const others = (spec.linux.namespaces ?? []).filter(({ type }) => type !== 'pid')
    spec.linux.namespaces = [...others, { type: 'pid', path: `/proc/${container.pid}/ns/pid` }]
    spec.hooks = { createRuntime: [{ path: '/bin/sh', args: ['sh', '-c', `echo ran >> ${ran}; sleep 0.2`] }] }
    writeFileSync(file, JSON.stringify(spec))
    const guest = container.exec(python(LIE_IN_WAIT + ASK_FOR_HOOKS))
    await begun(guest)
    let over = false
    void guest.then(() => {
      over = true
    })
    for (let i = 0; i < 200 && !over; i++) {
      await using joined = await Container.fromBundle(bundle)
      rmSync(ran, { force: true })
      await joined.start().then(
        () => joined.wait(),
        () => undefined,
      )
      if (existsSync(ran)) expect(readFileSync(ran, 'utf8')).toBe('ran\n')
    }
    expect((await guest).stdout).toContain('told')
    rmSync(directory, { recursive: true })
  },
  60_000,
)

/** Makes PID 1 execute /taken, by writing the call into its registers (ptrace(2)). */
const TAKE_PID_1 = `
import struct, time
NAMES = "r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp ss fs_base gs_base ds es fs gs"
class Registers(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in NAMES.split()]
registers = Registers()
POKE, GET, SET, ATTACH, DETACH, WALL = 5, 12, 13, 16, 17, 0x40000000
print(word(call("ptrace", ATTACH, 1, 0, 0)))
try:
    os.waitpid(1, WALL)
    call("ptrace", GET, 1, 0, ctypes.byref(registers))
    at = (registers.rsp - 4096) & ~15
    for i, value in enumerate([struct.unpack("Q", b"/taken\\0\\0")[0], at, 0]): call("ptrace", POKE, 1, at + 8 * i, value)
    registers.rip -= 2
    registers.orig_rax = 2 ** 64 - 1
    registers.rax, registers.rdi, registers.rsi, registers.rdx = NR["execve"], at, at + 8, at + 16
    call("ptrace", SET, 1, 0, ctypes.byref(registers))
    call("ptrace", DETACH, 1, 0, 0)
except ChildProcessError: pass
time.sleep(0.3)
print(open("/result").read().strip() if os.path.exists("/result") else "nothing")`

const TAKEN = '#!/bin/sh\nsed -n "s/^CapEff:.//p" /proc/self/status > /result\nexec sleep 1000\n'

testIf(process.arch !== 'x64' && 'it writes the registers of x64')(
  'the first process that is ours executes nothing for whoever traces it',
  async () => {
    const take = async (options: CreateOptions) => {
      await using container = await started({ files: { '/taken': { content: TAKEN, mode: 0o755 } }, ...options })
      const { stdout, stderr } = await container.exec(python(TAKE_PID_1))
      expect(stderr).toBe('')
      expect(await container.exec(['true'])).toMatchObject({ exitCode: 0 })
      return stdout.trim().split('\n').at(-1)
    }
    expect(await take({ init: true })).toBe('nothing')
    expect(await take({ init: true, ...TRACING })).toBe('nothing')
    // Any other goes on as what it was told to.
    expect(await take({ security: { privileged: true } })).toMatch(/^[0-9a-f]*[1-9a-f][0-9a-f]*$/)
  },
)
