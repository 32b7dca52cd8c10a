/** A small image that runs: busybox, users, and more layers if wanted. */
import { readFileSync } from 'node:fs'
import type { ImageConfig } from '../../lib/spec/image.js'
import { type Member, member } from './archive.js'
import { findProgram } from './needs.js'
import { type MadeImage, makeImage } from './store-images.js'

const busybox = findProgram('busybox')
export const noBusybox = !busybox && 'no busybox (apt: busybox-static)'

export const tar = (...members: Member[]) => Buffer.concat([...members.map((one) => member(one)), Buffer.alloc(1024)])
export const folder = (name: string): Member => ({ name: `${name}/`, type: '5', mode: 0o755 })

const PROGRAMS = ['sh', 'cat', 'ls', 'id', 'echo', 'true', 'sleep', 'stat', 'rm', 'touch', 'mkdir', 'env', 'pwd']

/** The lowest layer. */
export function busyboxLayer(): Buffer {
  return tar(
    folder('bin'),
    folder('etc'),
    { name: 'bin/busybox', data: readFileSync(busybox as string), mode: 0o755 },
    ...PROGRAMS.map((name): Member => ({ name: `bin/${name}`, type: '2', link: 'busybox' })),
    { name: 'etc/passwd', data: 'root:x:0:0::/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n' },
    { name: 'etc/group', data: 'root:x:0:\napp:x:1001:\nextra:x:1002:app\n' },
  )
}

export function busyboxImage(config: ImageConfig = {}, ...layers: Buffer[]): MadeImage {
  return makeImage([busyboxLayer(), ...layers], { Cmd: ['/bin/sh'], ...config })
}
