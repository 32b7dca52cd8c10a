/** Docker's daemon, started for a test: with data, mounts and processes of its own, and without networks unless asked. */
import { execFile, spawn } from 'node:child_process'
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { promisify } from 'node:util'
import { findProgram, isRoot } from './needs.js'

const run = promisify(execFile)

export const noDocker =
  (!findProgram('dockerd') && 'no dockerd (apt: docker.io)') ||
  (!findProgram('docker') && 'no docker (apt: docker.io)') ||
  (!isRoot && 'dockerd wants root')

export interface Dockerd extends AsyncDisposable {
  /** The output of the command-line client. */
  docker(...args: string[]): Promise<string>
}

/**
 * Ends with its process: that is the first of a pid namespace, so nothing of it is left. `network`: with its bridge and
 * its rules, for a network namespace of the test's own.
 */
export async function startDockerd(directory: string, { network = false } = {}): Promise<Dockerd> {
  mkdirSync(directory, { recursive: true })
  const place = (name: string) => path.join(directory, name)
  const log = openSync(place('log'), 'w')
  const options = {
    '--data-root': place('data'),
    '--exec-root': place('exec'),
    '--pidfile': place('pid'),
    '--host': `unix://${place('socket')}`,
    '--storage-driver': 'vfs',
  }
  const daemon = spawn(
    'unshare',
    [
      ...['--mount', '--pid', '--fork', '--kill-child=SIGKILL', '--mount-proc', 'dockerd'],
      ...Object.entries(options).flat(),
      ...(network ? [] : ['--bridge=none', '--iptables=false', '--ip6tables=false']),
    ],
    { stdio: ['ignore', log, log] },
  )
  closeSync(log)
  const ended = new Promise<void>((resolve) => daemon.once('exit', () => resolve()))
  const docker = async (...args: string[]) =>
    (await run('docker', ['-H', `unix://${place('socket')}`, ...args], { env: { PATH: process.env.PATH } })).stdout
  const stop = () => {
    daemon.kill('SIGKILL')
    return ended
  }
  for (let attempt = 0; ; attempt++) {
    try {
      await docker('version')
      return { docker, [Symbol.asyncDispose]: stop }
    } catch (error) {
      if (daemon.exitCode === null && attempt < 150) {
        await new Promise((resolve) => setTimeout(resolve, 100))
        continue
      }
      await stop()
      throw new Error(`dockerd does not answer: ${readFileSync(place('log'), 'utf8').slice(-2000)}`, { cause: error })
    }
  }
}
