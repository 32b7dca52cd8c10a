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
})
