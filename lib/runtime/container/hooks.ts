/** OCI hooks (runtime-spec config.md, "POSIX-platform Hooks"). */
import { spawn } from 'node:child_process'
import { CaissonError } from '../../errors.js'
import type { RuntimeSpec, SpecHook } from '../../spec/runtime.js'
import { TIMER_MAX } from '../../util/units.js'

export type HookStatus = 'creating' | 'created' | 'running' | 'stopped'

/** The hooks of one container, and the state that they are told. */
export class Hooks {
  /** In our namespaces, before the root is changed. */
  readonly runtime: readonly SpecHook[]
  /** In the container's namespaces; the init program runs them. */
  readonly container: readonly SpecHook[]
  readonly start: readonly SpecHook[]
  readonly poststart: readonly SpecHook[]
  readonly poststop: readonly SpecHook[]
  readonly #spec: RuntimeSpec
  readonly #id: string
  readonly #bundle: string

  constructor(spec: RuntimeSpec, id: string, bundle: string) {
    const hooks = spec.hooks ?? {}
    this.runtime = [...(hooks.prestart ?? []), ...(hooks.createRuntime ?? [])]
    this.container = hooks.createContainer ?? []
    this.start = hooks.startContainer ?? []
    this.poststart = hooks.poststart ?? []
    this.poststop = hooks.poststop ?? []
    this.#spec = spec
    this.#id = id
    this.#bundle = bundle
  }

  get any(): boolean {
    return this.runtime.length > 0 || this.container.length > 0 || this.start.length > 0
  }

  /** The state as JSON; 0 for a process that is gone. */
  state(status: HookStatus, pid: number): string {
    return JSON.stringify({
      ociVersion: this.#spec.ociVersion,
      id: this.#id,
      status,
      ...(pid > 0 ? { pid } : {}),
      bundle: this.#bundle,
      annotations: this.#spec.annotations ?? {},
    })
  }

  /** The same for the init program, which puts the process id between the two parts. */
  stateAround(status: HookStatus): [string, string] {
    const [before, after] = this.state(status, Number.MAX_SAFE_INTEGER).split(String(Number.MAX_SAFE_INTEGER))
    return [before as string, after as string]
  }

  /** One after the other; the first that fails ends it. */
  async run(list: readonly SpecHook[], name: string, status: HookStatus, pid: number): Promise<void> {
    for (const hook of list) await runHook(hook, name, this.state(status, pid))
  }
}

function runHook(hook: SpecHook, name: string, state: string): Promise<void> {
  const [argv0, ...args] = hook.args?.length ? hook.args : [hook.path]
  const env: Record<string, string> = {}
  for (const variable of hook.env ?? []) {
    const equals = variable.indexOf('=')
    if (equals > 0) env[variable.slice(0, equals)] = variable.slice(equals + 1)
  }
  return new Promise((resolve, reject) => {
    const child = spawn(hook.path, args, { argv0, env, stdio: ['pipe', 'ignore', 'pipe'], cwd: '/' })
    let stderr = ''
    child.stderr.on('data', (chunk) => {
      if (stderr.length < 4096) stderr += chunk
    })
    // How much of the state a hook reads is its own affair.
    child.stdin.on('error', () => undefined)
    child.stdin.end(state)
    const late = hook.timeout
      ? setTimeout(() => child.kill('SIGKILL'), Math.min(hook.timeout * 1000, TIMER_MAX))
      : undefined
    const failed = (why: string) =>
      new CaissonError('ERR_CAISSON_HOOK', `${name} hook ${hook.path}: ${why}`, {
        stage: `hooks: ${name}`,
        hint: stderr.trim() || 'The hook must exist, be executable, and exit with 0.',
      })
    child.on('error', (error) => reject(failed(error.message)))
    child.on('close', (code, signal) => {
      clearTimeout(late)
      if (code === 0) resolve()
      else reject(failed(signal ? `ended by ${signal}` : `exited with ${code}`))
    })
  })
}
