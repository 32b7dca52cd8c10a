import type { SecurityOptions } from '../../../lib/options.js'
import { chooseSeccomp } from '../../../lib/runtime/options/seccomp.js'
import { defaultFilter } from '../../../lib/seccomp/filters.js'
import type { Architecture } from '../../../lib/seccomp/profile.js'
import { CAPABILITIES, DEFAULT_CAPABILITIES } from '../../../lib/spec/capabilities.js'
import { AUDIT_ARCH, runFilter } from '../../support/bpf.js'

const arch = process.arch as Architecture

describe('security.seccomp', () => {
  test('is the default profile for the capabilities of the container', () => {
    for (const options of [{}, { seccomp: 'default' }] as SecurityOptions[])
      for (const capabilities of [[], DEFAULT_CAPABILITIES, CAPABILITIES]) {
        const { filter, flags, spec } = chooseSeccomp(options, capabilities) ?? {}
        expect(filter).toBe(defaultFilter(arch, capabilities))
        expect(flags).toBe(0)
        expect(spec?.().syscalls?.some(({ names }) => names.includes('mount'))).toBe(capabilities === CAPABILITIES)
      }
  })

  test('unconfined is none, privileged too unless a profile is asked for', () => {
    expect(chooseSeccomp({ seccomp: 'unconfined' }, [])).toBeUndefined()
    expect(chooseSeccomp({ privileged: true }, CAPABILITIES)).toBeUndefined()
    expect(chooseSeccomp({ privileged: true, seccomp: 'default' }, CAPABILITIES)?.filter).toBeDefined()
    expect(chooseSeccomp({ privileged: true, seccomp: { defaultAction: 'SCMP_ACT_LOG' } }, [])?.filter).toBeDefined()
  })

  test('a profile of the caller, with conditions on capabilities and the kernel', () => {
    const seccomp = (...capabilities: string[]) =>
      chooseSeccomp(
        {
          seccomp: {
            defaultAction: 'SCMP_ACT_ALLOW',
            flags: ['SECCOMP_FILTER_FLAG_LOG'],
            syscalls: [
              { names: ['write'], action: 'SCMP_ACT_KILL_PROCESS', excludes: { caps: ['CAP_BPF'] } },
              { names: ['write'], action: 'SCMP_ACT_LOG', includes: { minKernel: '5.12' } },
              { names: ['write'], action: 'SCMP_ACT_TRAP', includes: { minKernel: '255.255' } },
            ],
          },
        },
        capabilities,
      )
    const write = arch === 'x64' ? 1 : 64
    const ask = (filter?: Uint8Array) => filter && runFilter(filter, { arch: AUDIT_ARCH[arch], number: write }).action
    expect(ask(seccomp()?.filter)).toBe(0x80000000)
    expect(ask(seccomp('CAP_BPF')?.filter)).toBe(0x7ffc0000)
    expect(seccomp()?.flags).toBe(2)
    expect(seccomp('CAP_BPF')?.spec()).toEqual({
      defaultAction: 'SCMP_ACT_ALLOW',
      architectures: [arch === 'x64' ? 'SCMP_ARCH_X86_64' : 'SCMP_ARCH_AARCH64'],
      flags: ['SECCOMP_FILTER_FLAG_LOG'],
      syscalls: [{ names: ['write'], action: 'SCMP_ACT_LOG' }],
    })
  })

  test.each([[''], ['none'], [true], [1], [{ defaultAction: 'SCMP_ACT_NONE' }], [[]]])('%j is refused', (seccomp) => {
    expect(() => chooseSeccomp({ seccomp } as unknown as SecurityOptions, [])).toThrow(
      expect.objectContaining({
        code: 'ERR_CAISSON_INVALID_ARGUMENT',
        message: expect.stringMatching(/^security\.seccomp/),
      }),
    )
  })
})
