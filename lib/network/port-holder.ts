/** Who has a port of the host, for the error of whoever wants it too. */
import { readdir, readFile, readlink } from 'node:fs/promises'
import path from 'node:path'
import { roots } from '../util/roots.js'

/** As `container web (process 12)` or `nginx (process 34)`; undefined: nobody that we may see. */
export async function portHolder(protocol: 'tcp' | 'udp', port: number): Promise<string | undefined> {
  return (await holdingContainer(protocol, port)) ?? (await holdingProcess(protocol, port))
}

async function holdingContainer(protocol: string, port: number): Promise<string | undefined> {
  const owners = path.join(roots().run, 'owners')
  for (const owner of await readdir(owners).catch(() => [])) {
    const file = path.join(owners, owner, 'ports', `${protocol}-${port}`)
    const name = await readFile(file, 'utf8').catch(() => undefined)
    if (name !== undefined) return `container ${name} (process ${owner.split('-')[0]})`
  }
  return undefined
}

/** By the inode of its socket (proc_net_tcp(5)). */
async function holdingProcess(protocol: string, port: number): Promise<string | undefined> {
  const inodes = new Set<string>()
  const local = port.toString(16).toUpperCase().padStart(4, '0')
  for (const file of [protocol, `${protocol}6`])
    for (const line of (await readFile(`/proc/net/${file}`, 'utf8').catch(() => '')).split('\n').slice(1)) {
      const fields = line.trim().split(/\s+/)
      // Listening, or for UDP unconnected.
      const open = fields[3] === (protocol === 'tcp' ? '0A' : '07')
      if (open && fields[1]?.endsWith(`:${local}`)) inodes.add(`socket:[${fields[9]}]`)
    }
  if (inodes.size === 0) return undefined
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name)))
    for (const fd of await readdir(`/proc/${pid}/fd`).catch(() => []))
      if (inodes.has(await readlink(`/proc/${pid}/fd/${fd}`).catch(() => ''))) {
        const name = (await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '')).trim()
        return `${name || 'a process'} (process ${pid})`
      }
  return undefined
}
