// A registry of one's own for as long as something needs one: Debian's docker-registry, on the loopback.
import { spawn } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const PROGRAM = '/usr/bin/docker-registry'

/** Gives `use` its host and port; without the program, says so and does nothing. */
export async function withRegistry(use) {
  if (!existsSync(PROGRAM)) return console.log('\n(no docker-registry here: nothing is pulled)')
  const directory = mkdtempSync(path.join(tmpdir(), 'caisson-registry-'))
  const registry = await startRegistry(directory)
  try {
    await use(registry.host)
  } finally {
    registry.stop()
    rmSync(directory, { recursive: true, force: true })
  }
}

/** Its configuration and content are below `directory`. */
export async function startRegistry(directory) {
  const host = `127.0.0.1:${await freePort()}`
  const configuration = path.join(directory, 'registry.yml')
  const storage = { filesystem: { rootdirectory: path.join(directory, 'registry') } }
  const log = { level: 'error', accesslog: { disabled: true } }
  writeFileSync(configuration, JSON.stringify({ version: 0.1, log, storage, http: { addr: host } }))
  const registry = spawn(PROGRAM, ['serve', configuration], { stdio: 'ignore' })
  while (!(await answers(host))) {
    if (registry.exitCode !== null) throw new Error(`docker-registry ended with ${registry.exitCode}`)
    await sleep(20)
  }
  return { host, stop: () => registry.kill() }
}

async function freePort() {
  const server = createServer()
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address()
  await new Promise((resolve) => server.close(resolve))
  return port
}

const answers = (host) =>
  fetch(`http://${host}/v2/`).then(
    ({ ok }) => ok,
    () => false,
  )
