import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { unifiedParent } from '../../../lib/cgroup/host.js'

describe('the directory of v2 below which containers go', () => {
  let mountpoint: string
  beforeEach(() => {
    mountpoint = mkdtempSync(path.join(tmpdir(), 'caisson-cgroup-'))
  })
  afterEach(() => rmSync(mountpoint, { recursive: true }))

  /** The files of a cgroup directory that are looked at; the root of the machine has no cgroup.type. */
  function group(at: string, controllers: string, procs = '') {
    const directory = path.join(mountpoint, at)
    mkdirSync(directory, { recursive: true })
    writeFileSync(path.join(directory, 'cgroup.controllers'), `${controllers}\n`)
    writeFileSync(path.join(directory, 'cgroup.procs'), procs)
    if (at !== '/') writeFileSync(path.join(directory, 'cgroup.type'), 'domain\n')
  }

  const parent = (own: string) => {
    const found = unifiedParent({ version: 2, mountpoint, controllers: [], own: path.join(mountpoint, own) })
    const below = (directory: string) => path.join('/', path.relative(mountpoint, directory))
    return found && { ...found, directory: below(found.directory), chain: found.chain.map(below) }
  }

  test('is above our own, which has processes', () => {
    group('/', 'cpu memory')
    group('/slice', 'cpu memory')
    group('/slice/own', '', '1\n')
    expect(parent('/slice/own')).toEqual({
      directory: '/slice',
      chain: ['/', '/slice'],
      controllers: ['cpu', 'memory'],
    })
  })

  test('gets its controllers from the top, where nobody has handed them down', () => {
    group('/', 'cpu memory')
    group('/slice', '')
    group('/slice/own', '', '1\n')
    expect(parent('/slice/own')).toMatchObject({ directory: '/slice', chain: ['/', '/slice'] })
  })

  test('is the root of the machine, processes or not, when none below can have controllers', () => {
    group('/', 'cpu memory', '1\n2\n')
    group('/slice', '', '3\n')
    group('/slice/own', '', '4\n')
    expect(parent('/slice/own')).toEqual({ directory: '/', chain: ['/'], controllers: ['cpu', 'memory'] })
  })

  test('is our own, without controllers, where there are none to hand down', () => {
    group('/', '')
    group('/own', '', '1\n')
    expect(parent('/own')).toEqual({ directory: '/own', chain: [], controllers: [] })
  })

  test('is our own, without controllers, at the top of a cgroup namespace', () => {
    group('/', 'cpu memory', '1\n')
    writeFileSync(path.join(mountpoint, 'cgroup.type'), 'domain\n')
    expect(parent('/')).toEqual({ directory: '/', chain: [], controllers: [] })
  })

  test('is nowhere in a hierarchy without cgroups that we may write to', () => {
    expect(parent('/own')).toBeUndefined()
  })
})
