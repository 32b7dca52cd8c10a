/** Attacks: small programs in Python, run in a container as it is by default and in one that was weakened for them. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { type ExecOptions, type Execution, Image, type RunOptions, run } from '../../lib/index.js'
import type { Architecture } from '../../lib/seccomp/profile.js'
import { syscallNumbers } from '../../lib/seccomp/syscalls.js'

/** `call(name, ...)` makes a system call: its result, or minus the error; `word` says that in letters. */
const PRELUDE = `
import ctypes, errno, os, sys
libc = ctypes.CDLL(None, use_errno=True)
NR = ${JSON.stringify(Object.fromEntries(syscallNumbers(process.arch as Architecture)))}
def call(name, *given):
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(NR[name]), *[ctypes.c_long(a) if isinstance(a, int) else a for a in given])
    return result if result >= 0 else -ctypes.get_errno()
def word(result):
    return errno.errorcode[-result] if result < 0 else 'done'
def tried(work):
    try:
        work()
        return 'done'
    except OSError as error:
        return errno.errorcode[error.errno]
`

/** As arguments for run() and exec(). */
export function python(code: string): string[] {
  return ['python3', '-u', '-c', PRELUDE + code]
}

/** Connects to a socket without a file. Older versions of libuv bind the whole field, zeros and all. */
export const connectAbstract = (name: string) => `import socket
names = ["\\0${name}", "\\0${name}".ljust(108, "\\0")]
answers = {tried(lambda: socket.socket(socket.AF_UNIX).connect(name)) for name in names}
print("done" if "done" in answers else answers.pop())`

let host: Promise<Image> | undefined

export function hostImage(): Promise<Image> {
  host ??= Image.host()
  return host
}

/** What an attack prints, line by line; it must not fail in a way of its own. */
export async function attack(code: string, options: RunOptions & ExecOptions = {}): Promise<string[]> {
  const { stdout, stderr, exitCode } = await run(await hostImage(), python(code), { timeout: 20_000, ...options })
  expect({ stderr, exitCode }).toEqual({ stderr: '', exitCode: 0 })
  return stdout.trim().split('\n')
}

/** Resolves when a program has said something, and rejects when it ends without. */
export async function begun(execution: Execution): Promise<void> {
  await Promise.race([
    new Promise((resolve) => execution.stdout.once('data', resolve)),
    execution.then(({ stderr }) => Promise.reject(new Error(`it ended: ${stderr}`))),
  ])
}

/** Digests of the files that this process runs: Node and the addon. */
export function ourFiles(): string[] {
  const mapped = readFileSync('/proc/self/maps', 'utf8').matchAll(/ (\/.*(?:\/node|\/caisson\.node))$/gm)
  const files = [...new Set([...mapped].map(([, file]) => file as string))].sort()
  return files.map((file) => `${file} ${createHash('sha256').update(readFileSync(file)).digest('hex')}`)
}

/** Nothing but namespaces. */
export const WEAK: RunOptions = { security: { privileged: true, noNewPrivileges: false } }
