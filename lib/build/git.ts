/** Repositories, fetched by the git of this machine. */
import { execFile } from 'node:child_process'
import { mkdir, realpath, rm } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { CaissonError } from '../errors.js'
import type { CopySource } from './dockerfile/plan-types.js'
import type { Workspace } from './workspace.js'

const execute = promisify(execFile)

/** Nothing of the repository is executed, nobody is asked for a password, and nothing of the host's settings counts. */
const ENV = {
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_TERMINAL_PROMPT: '0',
  GIT_ATTR_NOSYSTEM: '1',
  LC_ALL: 'C',
}
/** Of the caller's variables for git, those about how to reach a server. One like GIT_DIR, as in a hook, means his repository. */
const ACCESS = /^GIT_(?:SSH|SSH_COMMAND|SSH_VARIANT|ASKPASS|SSL_.*|PROXY_.*|CURL_VERBOSE|TRACE.*)$/
/** Of these, those that show who the caller is to nobody. */
const PUBLIC_ACCESS = /^GIT_(?:SSL_(?:CAINFO|CAPATH|NO_VERIFY)|PROXY_.*|CURL_VERBOSE|TRACE.*)$/

/** Whoever wrote the Dockerfile is to fetch nothing with the keys and passwords of who builds it, but with the agent that is lent. */
const SSH = ['BatchMode=yes', 'IdentityFile=none', 'GSSAPIAuthentication=no', 'PKCS11Provider=none']

/** `caller`: as whoever builds. Otherwise, and for what a repository names: as nobody, or whom the socket of an SSH agent knows. */
interface GitAccess {
  caller?: boolean
  agent: string | undefined
}

function environment({ caller, agent }: GitAccess, home: string): NodeJS.ProcessEnv {
  const own = (pattern: RegExp) =>
    Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('GIT_') || pattern.test(name)))
  if (caller) return { ...own(ACCESS), ...ENV }
  const { SSH_AUTH_SOCK: _, SSH_ASKPASS: __, XDG_CONFIG_HOME: ___, ...others } = own(PUBLIC_ACCESS)
  const options = [...SSH, `IdentityAgent=${agent === undefined ? 'none' : 'SSH_AUTH_SOCK'}`]
  return {
    ...others,
    ...ENV,
    // Where .netrc would be.
    HOME: home,
    GIT_SSH_COMMAND: ['ssh', '-F', 'none', ...options.map((option) => `-o ${option}`)].join(' '),
    GIT_SSH_VARIANT: 'ssh',
    ...(agent === undefined ? {} : { SSH_AUTH_SOCK: agent }),
  }
}
const SAFE = ['-c', 'core.hooksPath=/dev/null', '-c', 'core.fsmonitor=false', '-c', 'safe.directory=*']

export interface CheckedOut {
  directory: string
  commit: string
}

export async function checkOut(
  space: Workspace,
  { remote, ref, subdirectory, submodules, keepGitDir, checksum }: CopySource & { kind: 'git' },
  access: GitAccess,
): Promise<CheckedOut> {
  const directory = await space.path()
  await mkdir(directory)
  const gitAs = (who: GitAccess) => {
    const env = environment(who, path.dirname(directory))
    return async (...args: string[]) => {
      try {
        const options = { cwd: directory, env, signal: space.signal, maxBuffer: 16 << 20 }
        return (await execute('git', [...SAFE, ...args], options)).stdout.trim()
      } catch (error) {
        throw gitError(remote, error as NodeJS.ErrnoException & { stderr?: string })
      }
    }
  }
  const git = gitAs(access)
  const wanted = ref || 'HEAD'
  if (wanted.startsWith('-') || remote.startsWith('-')) throw gitError(remote, new Error('neither begins with -'))
  await git('init', '--quiet', '.')
  const commit = (name: string) => git('rev-parse', '--verify', '--quiet', `${name}^{commit}`)
  const shallow = ['fetch', '--quiet', '--depth=1', '--no-tags', '--', remote, wanted]
  const fetched = await git(...shallow).then(
    () => commit('FETCH_HEAD'),
    // Not every server gives out a commit that has no name, or a part of the history.
    async () => {
      const branches = '+refs/heads/*:refs/remotes/origin/*'
      await git('fetch', '--quiet', '--tags', '--', remote, branches)
      await git('fetch', '--quiet', '--', remote, 'HEAD')
      if (wanted === 'HEAD') return commit('FETCH_HEAD')
      return commit(`refs/remotes/origin/${wanted}`).catch(() =>
        commit(`refs/tags/${wanted}`).catch(() =>
          commit(wanted).catch(() => {
            throw gitError(remote, new Error(`there is no branch, tag or commit ${JSON.stringify(wanted)}`))
          }),
        ),
      )
    },
  )
  const exact = /^[0-9a-f]{40}$/.test(wanted) ? wanted : fetched
  if (checksum !== undefined && !exact.startsWith(checksum))
    throw new CaissonError('ERR_CAISSON_DIGEST', `${remote}: ${wanted} is ${exact}, not ${checksum}`, {
      stage: 'copy',
      hint: 'The name leads to another commit now: look why, before the checksum is changed.',
    })
  await git('checkout', '--quiet', '--force', exact)
  // What somebody wrote into the repository may name another one of the caller's, which the builder would hand out.
  if (submodules) {
    const theirs = gitAs({ agent: access.agent })
    await theirs('submodule', 'update', '--quiet', '--init', '--recursive', '--depth=1')
  }
  if (!keepGitDir) await rm(path.join(directory, '.git'), { recursive: true, force: true })
  return { directory: await inside(directory, subdirectory ?? ''), commit: exact }
}

/** A directory of the repository; links in it are whatever its author wanted. */
async function inside(directory: string, subdirectory: string): Promise<string> {
  const [top, found] = await Promise.all([
    realpath(directory),
    realpath(path.join(directory, path.posix.join('/', subdirectory))).catch(() => ''),
  ])
  if (found === top || found.startsWith(`${top}/`)) return found
  throw new CaissonError('ERR_CAISSON_FILE', `${subdirectory} is no directory of the repository`, {
    stage: 'git',
    hint: 'Give a directory that is in the repository, and no link out of it.',
  })
}

function gitError(remote: string, error: NodeJS.ErrnoException & { stderr?: string }): CaissonError {
  const missing = error.code === 'ENOENT'
  const why = missing
    ? 'there is no git'
    : (error.stderr?.trim() || error.message).trim().split('\n').slice(-2).join('; ')
  return new CaissonError(missing ? 'ERR_CAISSON_UNSUPPORTED' : 'ERR_CAISSON_FILE', `${remote}: ${why}`, {
    stage: 'git',
    hint: missing ? 'Install git, or fetch the repository yourself.' : 'Check the address, the name and the access.',
    cause: error,
  })
}
