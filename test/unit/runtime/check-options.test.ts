import type { ContainerOptions } from '../../../lib/options.js'
import { checkContainerOptions, checkExecOptions } from '../../../lib/runtime/options/check.js'

describe('options', () => {
  test.each([
    [{ readonly: true }, 'readOnly'],
    [{ readOnlyy: true }, 'There are'],
    [{ limit: { memory: '1m' } }, 'limits'],
    [{ limits: { Memory: '1m' } }, 'limits.memory'],
    [{ limits: { pidsLimit: 1 } }, 'There are'],
    [{ security: { no_new_privileges: true } }, 'security.noNewPrivileges'],
    [{ mounts: [{ type: 'bind', source: '/', target: '/x', readonly: true }] }, 'mounts[0].readOnly'],
  ])('%j: what is not known is refused, not dropped', (options, hint) => {
    expect(() => checkContainerOptions(options as ContainerOptions)).toThrow(
      expect.objectContaining({ code: 'ERR_CAISSON_INVALID_ARGUMENT', hint: expect.stringContaining(hint) }),
    )
  })

  test('a policy has no other network beside it, and is contradicted by what leads around it', () => {
    const egress = { allow: ['example.com'] }
    checkContainerOptions({ egress, security: { capabilities: { add: ['NET_ADMIN'] } }, namespaces: { ipc: 'host' } })
    expect(() => checkContainerOptions({ egress, network: 'bridge' })).toThrow(
      expect.objectContaining({ code: 'ERR_CAISSON_UNSUPPORTED' }),
    )
    for (const options of [
      { network: 'none' },
      { namespaces: { pid: 'host' as const } },
      { security: { privileged: true } },
    ])
      expect(() => checkContainerOptions({ egress, ...options })).toThrow(
        expect.objectContaining({ code: 'ERR_CAISSON_INVALID_ARGUMENT' }),
      )
  })

  test.each([[{ network: 5 }], [{ limits: 5 }], [{ security: { require: 'magic' } }]])(
    '%j makes no sense',
    (options) => {
      expect(() => checkContainerOptions(options as unknown as ContainerOptions)).toThrow(
        expect.objectContaining({ code: 'ERR_CAISSON_INVALID_ARGUMENT' }),
      )
    },
  )

  test('those of an exec are fewer', () => {
    expect(() => checkExecOptions({ limits: {} } as never)).toThrow('there is no option limits')
    checkExecOptions({ env: {}, timeout: 1 })
    checkContainerOptions({ network: 'none', ports: [], security: { landlock: 'off', require: 'namespaces' } })
  })

  test.each([
    [{ init: 'yes' }, 'init'],
    [{ tty: 1 }, 'tty'],
    [{ tty: { columns: -1, rows: 1 } }, 'tty'],
    [{ env: 'A=1' }, 'env'],
    [{ entrypoint: 'sh' }, 'entrypoint'],
    [{ labels: ['a=b'] }, 'labels'],
    [{ labels: { a: 1 } }, 'labels["a"]'],
    [{ files: [] }, 'files'],
    [{ mounts: { type: 'tmpfs' } }, 'mounts'],
    [{ mounts: ['x'] }, 'mounts[0]'],
    [{ mounts: [{ type: 'bind', readOnly: 'no' }] }, 'mounts[0].readOnly'],
    [{ limits: [] }, 'limits'],
    [{ limits: { io: { weigth: 5 } } }, 'limits.io.weigth'],
    [{ limits: { io: { devices: [{ path: 5 }] } } }, 'limits.io.devices[0].path'],
    [{ ulimits: 5 }, 'ulimits'],
    [{ devices: '/dev/fuse' }, 'devices'],
    [{ dns: '9.9.9.9' }, 'dns'],
    [{ extraHosts: 5 }, 'extraHosts'],
    [{ namespaces: 'host' }, 'namespaces'],
    [{ security: { capabilities: ['NET_ADMIN'] } }, 'security.capabilities'],
    [{ security: { capabilities: { add: 'NET_ADMIN' } } }, 'security.capabilities.add'],
    [{ security: { noNewPrivileges: 'yes' } }, 'security.noNewPrivileges'],
    [{ security: { maskedPaths: '/proc' } }, 'security.maskedPaths'],
    [{ pull: 'sometimes' }, 'pull'],
    [{ healthcheck: { test: 5 } }, 'healthcheck.test'],
    [{ healthcheck: { test: 'true', interval: 'soon' } }, 'healthcheck.interval'],
    [{ stopSignal: 'SIGNOPE' }, 'stopSignal'],
    [{ stopTimeout: 'soon' }, 'stopTimeout'],
    [{ restart: 'sometimes' }, 'restart'],
    [{ signal: 5 }, 'signal'],
    [{ hostname: 5 }, 'hostname'],
    [{ name: 5 }, 'name'],
    [{ ports: 80 }, 'ports'],
  ])('%j is not of the kind that the option takes, and the option is named', (options, option) => {
    let message = ''
    try {
      checkContainerOptions(options as unknown as ContainerOptions)
    } catch (error) {
      message = (error as Error).message
    }
    expect(message.replace(/^there is no option (.*)$/, '$1:')).toMatch(/^\S+:/)
    expect(message.replace(/^there is no option /, '').split(':')[0]).toBe(option)
  })
})
