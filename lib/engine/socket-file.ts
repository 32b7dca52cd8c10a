/** The file of a socket: there only when its mode is right, and never in the place of something else. */
import { chmod, lstat, mkdir, mkdtemp, rename, rm, rmdir, unlink } from 'node:fs/promises'
import { connect, type Server } from 'node:net'
import path from 'node:path'
import { CaissonError } from '../errors.js'

export interface BoundSocket {
  /** Takes the file away, unless it is another server's by now. */
  remove(): Promise<void>
}

/** sun_path of sockaddr_un(7) without its NUL. */
const PATH_MAX = 107

/** Throws where another server answers, and where something lies that is no socket. */
export async function bindSocket(server: Server, place: string, mode: number): Promise<BoundSocket> {
  const directory = path.dirname(place)
  await mkdir(directory, { recursive: true, mode: 0o711 })
  await checkPlace(place)
  // In a directory of our own at first: between bind(2) and chmod(2) others could connect.
  const own = await mkdtemp(path.join(directory, '.s'))
  const file = path.join(own, 's')
  try {
    if (Buffer.byteLength(file) > PATH_MAX || Buffer.byteLength(place) > PATH_MAX)
      throw failed(`the path ${place} is too long for a socket`, 'Give a shorter one.')
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject).once('listening', resolve).listen(file)
    })
    await chmod(file, mode)
    await rename(file, place)
  } catch (error) {
    server.close()
    if (error instanceof CaissonError) throw error
    const { message } = error as Error
    throw failed(message, 'See the system call, and whether this user may write there.', error as Error)
  } finally {
    await rm(file, { force: true })
    await rmdir(own)
  }
  const { ino } = await lstat(place)
  return {
    async remove() {
      const now = await lstat(place).catch(() => undefined)
      if (now?.ino === ino) await unlink(place)
    },
  }
}

async function checkPlace(place: string): Promise<void> {
  const there = await lstat(place).catch(() => undefined)
  if (!there) return
  if (!there.isSocket()) throw failed(`${place} is there, and no socket`, 'Remove it, or give another path.')
  const answers = await new Promise<boolean>((resolve) => {
    const socket = connect(place)
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
  if (answers) throw failed(`another server listens on ${place}`, 'End it, or give another path.')
}

function failed(message: string, hint: string, cause?: Error): CaissonError {
  return new CaissonError('ERR_CAISSON_SYSTEM', `serve: ${message}`, { stage: 'serve', hint, cause })
}
