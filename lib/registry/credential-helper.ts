/** Programs that keep credentials: `docker-credential-NAME get` with the host on stdin and JSON on stdout, `store`, `erase`. */
import { spawn } from 'node:child_process'
import { type Credentials, configError, madeCredentials } from './auth-file.js'
import { abortedError, throwIfAborted } from './failure.js'
import { printable } from './redact.js'

const TIMEOUT = 30_000
const OUTPUT_MAX = 256 * 1024
/** What all helpers print when they have nothing for a host. */
const NOT_FOUND = 'credentials not found in native keychain'

/** undefined: it has none for this host. `file` is where it was named, for errors. */
export async function askHelper(
  name: string,
  host: string,
  file: string,
  env: NodeJS.ProcessEnv,
  signal?: AbortSignal,
): Promise<Credentials | undefined> {
  const stdout = await tellHelper(name, 'get', host, file, env, signal)
  return stdout === undefined ? undefined : parseAnswer(stdout, programOf(name, file), file)
}

/** What it prints; undefined: it has nothing for this host. `timeout`: milliseconds. */
export async function tellHelper(
  name: string,
  action: 'get' | 'store' | 'erase',
  input: string,
  file: string,
  env: NodeJS.ProcessEnv,
  signal?: AbortSignal,
  timeout = TIMEOUT,
): Promise<string | undefined> {
  const program = programOf(name, file)
  throwIfAborted(signal)
  const running = runHelper(program, action, input, env, timeout, signal)
  const { status, stdout } = await running.catch((error: NodeJS.ErrnoException) => {
    if (signal?.aborted) throw abortedError()
    const why = error.code === 'ENOENT' ? 'is not in PATH' : `cannot be run: ${error.code ?? error.message}`
    throw configError(file, `${program} ${why}`, 'Install it, or take credHelpers or credsStore out of the file.')
  })
  if (status === 0) return stdout
  if (stdout.trim() === NOT_FOUND) return undefined
  throw configError(file, `${program} fails: ${printable(stdout) || `exit code ${status}`}`, 'Try it by hand.')
}

function programOf(name: string, file: string): string {
  if (!/^[A-Za-z0-9._-]+$/.test(name)) throw configError(file, `${JSON.stringify(name)} is no name of a helper`)
  return `docker-credential-${name}`
}

function parseAnswer(stdout: string, program: string, file: string): Credentials | undefined {
  let answer: { Username?: unknown; Secret?: unknown } | null
  try {
    answer = JSON.parse(stdout)
  } catch {
    throw configError(file, `${program} does not print JSON`, 'Try it by hand.')
  }
  const { Username: username, Secret: secret } = answer ?? {}
  if (typeof username !== 'string' || typeof secret !== 'string')
    throw configError(file, `${program} prints no Username and Secret`, 'Try it by hand.')
  if (username === '<token>') return madeCredentials({ identityToken: secret })
  return madeCredentials({ username, password: secret })
}

function runHelper(
  program: string,
  action: string,
  input: string,
  env: NodeJS.ProcessEnv,
  timeout: number,
  signal?: AbortSignal,
): Promise<{ status: number; stdout: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, [action], { stdio: ['pipe', 'pipe', 'ignore'], env, signal, killSignal: 'SIGKILL' })
    const parts: Buffer[] = []
    let size = 0
    const fail = (error: Error) => {
      clearTimeout(timer)
      child.kill('SIGKILL')
      // What it has started may hold its output open: that is waited for no more.
      child.stdout.destroy()
      reject(error)
    }
    const timer = setTimeout(() => fail(new Error(`no answer within ${timeout} ms`)), timeout)
    child.stdout.on('data', (chunk: Buffer) => {
      size += chunk.length
      parts.push(chunk)
      if (size > OUTPUT_MAX) fail(new Error('it prints too much'))
    })
    child.once('error', fail)
    child.once('close', (status) => {
      clearTimeout(timer)
      resolve({ status: status ?? 1, stdout: Buffer.concat(parts).toString('utf8') })
    })
    // One that does not read its input ends it; what it prints counts.
    child.stdin.on('error', () => undefined)
    child.stdin.end(input)
  })
}
