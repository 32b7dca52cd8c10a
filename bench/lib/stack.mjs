// Archives of images, made of archives of layers, as `docker save` would write them.
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'

const digestOf = (file, command) => {
  const out = execFileSync('sh', ['-c', `${command} < "$0" | sha256sum`, file], { encoding: 'utf8' })
  return `sha256:${out.slice(0, 64)}`
}

/** The lowest layer first. */
export function stackArchive(layers, file) {
  const at = `${file}.d`
  mkdirSync(at)
  const diffIds = layers.map((layer) => digestOf(layer, layer.endsWith('.gz') ? 'gzip -dc' : 'cat'))
  const config = JSON.stringify({
    architecture: process.arch === 'arm64' ? 'arm64' : 'amd64',
    os: 'linux',
    config: { Cmd: ['/bin/true'] },
    rootfs: { type: 'layers', diff_ids: diffIds },
  })
  const configName = `${createHash('sha256').update(config).digest('hex')}.json`
  writeFileSync(path.join(at, configName), config)
  const names = layers.map((layer, i) => {
    symlinkSync(layer, path.join(at, `layer-${i}.tar`))
    return `layer-${i}.tar`
  })
  const manifest = [{ Config: configName, RepoTags: [`bench/${path.basename(file, '.tar')}:1`], Layers: names }]
  writeFileSync(path.join(at, 'manifest.json'), JSON.stringify(manifest))
  execFileSync('tar', ['-C', at, '-chf', file, ...names, configName, 'manifest.json'])
  rmSync(at, { recursive: true, force: true })
  return file
}

export function rootfsArchive(rootfs, directory) {
  const file = path.join(directory, 'rootfs-layer.tar')
  execFileSync('tar', ['-C', rootfs, '-cf', file, '.'])
  return file
}

/** One small file. */
export function thinLayer(directory, number) {
  const at = path.join(directory, `thin-${number}`)
  mkdirSync(at)
  writeFileSync(path.join(at, `layer-${number}`), readFileSync('/proc/sys/kernel/random/uuid'))
  const file = `${at}.tar`
  execFileSync('tar', ['-C', at, '-cf', file, '.'])
  return file
}
