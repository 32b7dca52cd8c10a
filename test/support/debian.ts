/** Debian 12 as a base image, from Debian's mirrors. */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, renameSync } from 'node:fs'
import path from 'node:path'
import { Image } from '../../lib/index.js'
import { findProgram, isRoot } from './needs.js'

/** The bench has the same. */
const archive = path.resolve(__dirname, '../../.cache/bench/debian-12.tar')

export const noDebian =
  !existsSync(archive) && (!findProgram('mmdebstrap') ? 'no mmdebstrap' : !isRoot && 'only root makes a base image')

/** Made once for the machine. */
export async function storeDebian(name: string): Promise<void> {
  if (!existsSync(archive)) {
    mkdirSync(path.dirname(archive), { recursive: true })
    const beside = `${archive}-${process.pid}.tar`
    execFileSync('mmdebstrap', ['--variant=minbase', '--quiet', 'bookworm', beside], { stdio: 'ignore' })
    renameSync(beside, archive)
  }
  await (await Image.fromRootfs(archive, { Cmd: ['/bin/bash'] })).tag(name)
}
