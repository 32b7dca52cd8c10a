/** RUN: what is executed, with what mounted. */
import { CaissonError } from '../../errors.js'
import { type EvaluationContext, shellOf } from './evaluation.js'
import { heredocContent, parseHeredoc } from './heredoc.js'
import type { Run } from './instruction.js'
import type { FileOwner, Mount, RunStep } from './plan-types.js'
import { type MountFields, parseMount } from './run-mount.js'
import { fault } from './source.js'
import { absolute } from './stage-state.js'
import { baseName, cleanPath, joinPath, quote } from './text.js'
import type { Token } from './words.js'

/** Where a script of a here-document is mounted. */
const SCRIPTS = '/dev/pipes/'

export function evaluateRun(context: EvaluationContext, run: Run): void {
  const { state, build } = context
  const { place } = run
  const mounts: Mount[] = []
  for (const mount of run.mounts) mounts.push(place.at(mount, () => evaluateMount(context, run, mount, mounts)))
  refusePrivileges(context, run)
  const { words, script } = commandOf(run)
  const args = run.shellForm ? [...shellOf(state), words.join(' ')] : words
  const step: RunStep = {
    kind: 'run',
    args,
    env: [...context.takeEnvironment(place), ...agentVariable(context, mounts)],
    quietEnv: build.quietEnv,
    workdir: state.workdir,
    user: state.user,
    mounts: inOrder(mounts),
    network: run.network,
    security: run.security,
    ...(script ? { script } : {}),
    span: place.span,
    title: titleOf(context, run, mounts),
    history: state.commit(`RUN ${[...declared(context), ...args].join(' ')} # buildkit`, true),
  }
  context.steps.push(step)
}

/** What is mounted inside another mount comes after it; secrets and agents come last. */
function inOrder(mounts: Mount[]): Mount[] {
  const isLast = ({ type }: Mount) => Number(type === 'secret' || type === 'ssh')
  const path = (mount: Mount) => (isLast(mount) ? '' : (mount.target ?? ''))
  return mounts.toSorted((a, b) => isLast(a) - isLast(b) || (path(a) < path(b) ? -1 : path(a) > path(b) ? 1 : 0))
}

function agentVariable({ state }: EvaluationContext, mounts: Mount[]): string[] {
  const agent = mounts.find((mount) => mount.type === 'ssh')
  return agent && state.env.get('SSH_AUTH_SOCK') === undefined ? [`SSH_AUTH_SOCK=${agent.target}`] : []
}

/** What ARG declared, as Docker writes it in front of a command: `|2 A=1 B=2`. */
function declared({ state }: EvaluationContext): string[] {
  const texts = [...state.args].map(([name, value]) => `${name}=${state.env.get(name) ?? value}`)
  return texts.length === 0 ? [] : [`|${texts.length}`, ...texts]
}

/**
 * A command that is one here-document is its content, which the shell runs, or a script when that begins with `#!`. In
 * every other the shell reads the here-documents itself.
 */
function commandOf({ command, heredocs }: Run): { words: string[]; script?: RunStep['script'] } {
  const words = command.map(({ text }) => text)
  const [first] = heredocs
  if (!first) return { words }
  const [text = ''] = words
  if (!parseHeredoc(text))
    return { words: [text + heredocs.map(({ content, name }) => `\n${content}${name}`).join('')] }
  const content = heredocContent(first)
  if (!content.startsWith('#!')) return { words: [content] }
  return { words: [joinPath(SCRIPTS, first.name)], script: { name: first.name, content } }
}

function titleOf(context: EvaluationContext, { place, command, heredocs }: Run, mounts: Mount[]): string {
  const secrets = new Set(mounts.map((mount) => (mount.type === 'secret' ? mount.env : undefined)))
  const masked = { get: (name: string) => (secrets.has(name) ? '****' : context.state.env.get(name)) }
  const title = context.title(place, undefined, masked, true)
  const [first] = heredocs
  if (!first || !parseHeredoc(command[0]?.text ?? '')) return title
  const [line = '', ...others] = first.content.trim().split(/\r?\n/)
  return `${title} (${line}${others.length > 0 ? '...' : ''})`
}

function refusePrivileges({ build }: EvaluationContext, { place, security, network, devices }: Run): void {
  const refuse = (flag: string, hint: string) => {
    throw place.source.locate(
      new CaissonError('ERR_CAISSON_UNSUPPORTED', `${flag} is refused`, { stage: 'dockerfile', hint }),
      place.span,
    )
  }
  if (devices.length > 0 && !build.allow.has('device'))
    refuse('RUN --device', 'A build has no devices of the host. Run a container with them instead.')
  if (security === 'insecure' && !build.allow.has('security.insecure'))
    refuse('RUN --security=insecure', 'A build runs with the protections of any container. Leave the flag out.')
  if (network === 'host' && !build.allow.has('network.host'))
    refuse('RUN --network=host', "Build with network: 'host' if the host's network is to be used.")
}

function evaluateMount(context: EvaluationContext, { place }: Run, token: Token, before: Mount[]): Mount {
  const fields = parseMount(token.text, (value) => context.expandPart(place, token, value))
  const owner: FileOwner = {}
  for (const key of ['uid', 'gid', 'mode'] as const) if (fields[key] !== undefined) owner[key] = fields[key]
  if (fields.type === 'secret') return secret(fields, owner)
  if (fields.type === 'ssh') {
    const number = before.filter(({ type }) => type === 'ssh').length
    // Where BuildKit puts it, since files were written for that.
    const target = joinPath('/', fields.target || `run/buildkit/ssh_agent.${number}`)
    return { type: 'ssh', id: fields.id || 'default', target, required: fields.required, ...owner }
  }
  const target = cleanPath(absolute(fields.target, context.state.workdir))
  if (target === '/') throw fault(`invalid mount target ${quote('/')}`, 'Write target=PATH.')
  const { readOnly } = fields
  if (fields.type === 'tmpfs') return { type: 'tmpfs', size: fields.size, target, readOnly }
  const path = joinPath('/', fields.source)
  const source = fields.from === '' ? undefined : context.sourceOf(place, fields.from)
  if (fields.type === 'bind') return { type: 'bind', source: source ?? { kind: 'context' }, path, target, readOnly }
  return {
    type: 'cache',
    id: fields.id || cleanPath(fields.target),
    sharing: fields.sharing ?? 'shared',
    source: source ?? { kind: 'scratch' },
    path,
    target,
    readOnly,
    ...owner,
  }
}

function secret({ id, source, target, env, required }: MountFields, owner: FileOwner): Mount {
  const name = source || id || baseName(target)
  // Unless it is only a variable, it is a file.
  const file = target || (env === undefined ? `/run/secrets/${baseName(name)}` : '')
  return {
    type: 'secret',
    id: name,
    ...(file ? { target: joinPath('/', file) } : {}),
    ...(env === undefined ? {} : { env: env || name }),
    required,
    ...owner,
  }
}
