import type { ContainerOptions } from '../../../lib/options.js'
import { chooseNamespaces } from '../../../lib/runtime/options/choose-namespaces.js'

const map = [{ containerID: 0, hostID: 100000, size: 65536 }]

describe('the namespaces of a container', () => {
  test('are its own by default, but for the user namespace', async () => {
    const chosen = await chooseNamespaces({})
    expect([...chosen.own].sort()).toEqual(['cgroup', 'ipc', 'mnt', 'net', 'pid', 'time', 'uts'])
    expect(chosen).toMatchObject({ join: [], privateUser: false, idMaps: undefined })
  })

  test.each(['cgroup', 'ipc', 'mnt', 'net', 'pid', 'time', 'uts'] as const)('leave %s the host’s', async (type) => {
    const { own } = await chooseNamespaces({ namespaces: { [type]: 'host' } })
    expect(own.has(type)).toBe(false)
    expect(own.size).toBe(6)
  })

  test('follow network: "host", unless namespaces.net says more', async () => {
    expect((await chooseNamespaces({ network: 'host' })).own.has('net')).toBe(false)
    expect((await chooseNamespaces({ network: 'host', namespaces: { net: 'private' } })).own.has('net')).toBe(true)
  })

  const bad: Array<[string, object, string]> = [
    ['an unknown kind', { namespaces: { network: 'host' } }, 'ERR_CAISSON_INVALID_ARGUMENT'],
    ['an unknown word', { namespaces: { net: 'shared' } }, 'ERR_CAISSON_INVALID_ARGUMENT'],
    ['a number', { namespaces: { net: 7 } }, 'ERR_CAISSON_INVALID_ARGUMENT'],
    ['another kind', { namespaces: { net: { type: 'uts', inode: 1, fd: 0 } } }, 'ERR_CAISSON_INVALID_ARGUMENT'],
    ['a container that is not running', { namespaces: { net: { pid: 0 } } }, 'ERR_CAISSON_INVALID_STATE'],
    ['the network of one', { network: { pid: undefined } }, 'ERR_CAISSON_INVALID_STATE'],
    ['a map without a list', { security: { userns: { uidMap: map } } }, 'ERR_CAISSON_INVALID_ARGUMENT'],
    [
      'maps and the host’s user namespace',
      { security: { userns: { uidMap: map, gidMap: map } }, namespaces: { user: 'host' } },
      'ERR_CAISSON_INVALID_ARGUMENT',
    ],
    [
      'a private user namespace that security denies',
      { security: { userns: 'host' }, namespaces: { user: 'private' } },
      'ERR_CAISSON_INVALID_ARGUMENT',
    ],
  ]
  test.each(bad)('refuse %s', async (_, options, code) => {
    await expect(chooseNamespaces(options as ContainerOptions)).rejects.toMatchObject({ code })
  })
})
