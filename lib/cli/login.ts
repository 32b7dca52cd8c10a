/** `caisson login` and `caisson logout`: credentials for registries, kept where docker and podman keep theirs. */
import { createInterface } from 'node:readline/promises'
import { Writable } from 'node:stream'
import { checkLogin, forgetLogin, keepLogin } from '../registry/login.js'
import type { Command } from './command.js'
import { usageError } from './usage.js'

const DOCKER = 'docker.io'

export const loginCommand: Command = {
  summary: 'Log in to a registry',
  usage: 'login [FLAGS] [REGISTRY]',
  description: `Asks the registry whether it knows the user (docker.io when none is named), and keeps the credentials: with the helper
program that config.json names, or in that file (DOCKER_CONFIG, REGISTRY_AUTH_FILE), which only its owner may read then.`,
  flags: [
    { name: 'username', short: 'u', kind: 'text', help: 'User' },
    { name: 'password', short: 'p', kind: 'text', help: 'Password; others of this machine can see it meanwhile' },
    { name: 'password-stdin', kind: 'boolean', help: 'Read the password from the standard input' },
  ],
  exits: 'Exits with 0, or with 1 when the registry refuses.',

  async run(flags, [registry = DOCKER, more]) {
    if (more !== undefined) throw usageError(`login: ${more} is too much`, 'There is one registry.')
    const given = flags.text('password')
    const fromInput = flags.boolean('password-stdin') ?? false
    if (given !== undefined && fromInput)
      throw usageError('login: --password and --password-stdin are two passwords', 'Give one of them.')
    if (fromInput && flags.text('username') === undefined)
      throw usageError('login: --password-stdin needs --username', 'Write caisson login -u USER --password-stdin.')
    if (given !== undefined) process.stderr.write('Others can see --password: --password-stdin is for scripts.\n')
    const username = flags.text('username') ?? (await ask('Username: '))
    const password = given ?? (fromInput ? await readPassword() : await ask('Password: ', true))
    if (username === '' || password === '') throw usageError('login: user or password is empty', 'Give both.')
    await checkLogin(registry, { username, password })
    process.stderr.write(`Kept in ${await keepLogin(registry, { username, password })}\n`)
    process.stdout.write('Login Succeeded\n')
    return 0
  },
}

export const logoutCommand: Command = {
  summary: 'Forget the credentials of a registry',
  usage: 'logout [REGISTRY]',
  description: 'Removes what is kept for the registry (docker.io when none is named), by whichever program.',
  flags: [],
  exits: 'Exits with 0, or with 1 when it failed.',

  async run(_flags, [registry = DOCKER, more]) {
    if (more !== undefined) throw usageError(`logout: ${more} is too much`, 'There is one registry.')
    const files = await forgetLogin(registry)
    process.stdout.write(files.length > 0 ? `Removed from ${files.join(', ')}\n` : `Not logged in to ${registry}\n`)
    return 0
  },
}

/** Without the newline that echo puts at its end. */
async function readPassword(): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of process.stdin) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
    .toString('utf8')
    .replace(/\r?\n$/, '')
}

async function ask(question: string, hidden = false): Promise<string> {
  if (!process.stdin.isTTY)
    throw usageError(
      `login: there is nobody to ask for ${hidden ? 'a password' : 'a user'}`,
      'Write caisson login -u USER --password-stdin REGISTRY.',
    )
  process.stderr.write(question)
  const nothing = new Writable({ write: (_chunk, _encoding, done) => done() })
  const lines = createInterface({ input: process.stdin, output: hidden ? nothing : process.stderr, terminal: true })
  try {
    return await lines.question('')
  } finally {
    lines.close()
    if (hidden) process.stderr.write('\n')
  }
}
