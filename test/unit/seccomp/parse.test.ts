import { parseDockerProfile, parseSpecSeccomp } from '../../../lib/seccomp/parse.js'

const INVALID = 'ERR_CAISSON_INVALID_ARGUMENT'

/** A profile with one rule, and with one argument, that are all right but for what is put in. */
const withRule = (rule: object) => ({
  defaultAction: 'SCMP_ACT_ERRNO',
  syscalls: [{ names: ['read'], action: 'SCMP_ACT_ALLOW', ...rule }],
})
const withArgument = (argument: object) => withRule({ args: [{ index: 0, value: 1, op: 'SCMP_CMP_EQ', ...argument }] })

describe('profiles', () => {
  test("read Docker's format, with null for what is not there", () => {
    const profile = parseDockerProfile({
      defaultAction: 'SCMP_ACT_ERRNO',
      defaultErrnoRet: 38,
      archMap: [
        { architecture: 'SCMP_ARCH_X86_64', subArchitectures: ['SCMP_ARCH_X86'] },
        { architecture: 'SCMP_ARCH_RISCV64', subArchitectures: null },
      ],
      flags: null,
      syscalls: [
        {
          names: ['clone', 'nonsense'],
          action: 'SCMP_ACT_ALLOW',
          args: [{ index: 5, value: 2114060288, valueTwo: 3, op: 'SCMP_CMP_MASKED_EQ' }],
          comment: 'any text',
          includes: { caps: ['CAP_BPF'], arches: ['amd64'], minKernel: '5.13' },
          excludes: {},
        },
        {
          name: 'read',
          names: null,
          action: 'SCMP_ACT_TRACE',
          args: null,
          includes: null,
          excludes: { minKernel: '' },
        },
        { names: [], action: 'SCMP_ACT_LOG', args: [] },
      ],
      somethingElse: true,
    })
    expect(profile).toEqual({
      defaultAction: 0x50026,
      flags: undefined,
      rules: [
        {
          names: ['clone', 'nonsense'],
          action: 0x7fff0000,
          conditions: [{ index: 5, op: 'MASKED_EQ', value: 2114060288n, valueTwo: 3n }],
          includes: { caps: ['CAP_BPF'], arches: ['amd64'], minKernel: [5, 13] },
          excludes: {},
        },
        { names: ['read'], action: 0x7ff00001, conditions: [], excludes: {} },
        { names: [], action: 0x7ffc0000, conditions: [] },
      ],
    })
  })

  test("read OCI's format, which has no conditions on the container", () => {
    const profile = parseSpecSeccomp({
      defaultAction: 'SCMP_ACT_KILL_PROCESS',
      architectures: ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X32'],
      flags: ['SECCOMP_FILTER_FLAG_LOG', 'SECCOMP_FILTER_FLAG_TSYNC'],
      syscalls: [{ names: ['read'], action: 'SCMP_ACT_TRAP', includes: { caps: ['CAP_BPF'] } }],
    })
    expect(profile).toEqual({
      defaultAction: 0x80000000,
      flags: ['SECCOMP_FILTER_FLAG_LOG', 'SECCOMP_FILTER_FLAG_TSYNC'],
      rules: [{ names: ['read'], action: 0x30000, conditions: [] }],
    })
    expect(parseSpecSeccomp({ defaultAction: 'SCMP_ACT_ALLOW' }).rules).toEqual([])
  })

  test('keep 64 bits', () => {
    const condition = (value: number | bigint) =>
      parseDockerProfile(withArgument({ value })).rules[0]?.conditions[0]?.value
    expect(condition(2 ** 53 - 1)).toBe(9007199254740991n)
    expect(condition(0xffffffffffffffffn)).toBe(0xffffffffffffffffn)
  })

  test.each<[unknown, string]>([
    [null, 'security.seccomp'],
    ['default.json', 'security.seccomp'],
    [[], 'security.seccomp'],
    [{}, 'security.seccomp.defaultAction'],
    [{ defaultAction: 'ALLOW' }, 'security.seccomp.defaultAction'],
    [{ defaultAction: 'scmp_act_allow' }, 'security.seccomp.defaultAction'],
    [{ defaultAction: 7 }, 'security.seccomp.defaultAction'],
    [{ defaultAction: 'constructor' }, 'security.seccomp.defaultAction'],
    [{ defaultAction: 'SCMP_ACT_ERRNO', defaultErrnoRet: '1' }, 'security.seccomp.defaultErrnoRet'],
    [{ defaultAction: 'SCMP_ACT_ERRNO', defaultErrnoRet: 4096 }, 'security.seccomp.defaultErrnoRet'],
    [{ defaultAction: 'SCMP_ACT_ERRNO', defaultErrnoRet: -1 }, 'security.seccomp.defaultErrnoRet'],
    [{ defaultAction: 'SCMP_ACT_TRACE', defaultErrnoRet: 65536 }, 'security.seccomp.defaultErrnoRet'],
    [{ defaultAction: 'SCMP_ACT_ALLOW', defaultErrnoRet: 1 }, 'security.seccomp.defaultErrnoRet'],
    [{ defaultAction: 'SCMP_ACT_ALLOW', architectures: 'SCMP_ARCH_X86' }, 'security.seccomp.architectures'],
    [{ defaultAction: 'SCMP_ACT_ALLOW', architectures: ['SCMP_ARCH_X86', 'x32'] }, 'security.seccomp.architectures[1]'],
    [{ defaultAction: 'SCMP_ACT_ALLOW', archMap: {} }, 'security.seccomp.archMap'],
    [{ defaultAction: 'SCMP_ACT_ALLOW', archMap: [1] }, 'security.seccomp.archMap[0]'],
    [{ defaultAction: 'SCMP_ACT_ALLOW', archMap: [{}] }, 'security.seccomp.archMap[0].architecture'],
    [
      { defaultAction: 'SCMP_ACT_ALLOW', archMap: [{ architecture: 'SCMP_ARCH_ARM', subArchitectures: [2] }] },
      'security.seccomp.archMap[0].subArchitectures[0]',
    ],
    [
      {
        defaultAction: 'SCMP_ACT_ALLOW',
        architectures: ['SCMP_ARCH_ARM'],
        archMap: [{ architecture: 'SCMP_ARCH_ARM' }],
      },
      'security.seccomp.archMap',
    ],
    [{ defaultAction: 'SCMP_ACT_ALLOW', flags: ['SECCOMP_FILTER_FLAG_NEW_LISTENER'] }, 'security.seccomp.flags[0]'],
    [{ defaultAction: 'SCMP_ACT_ALLOW', syscalls: {} }, 'security.seccomp.syscalls'],
    [{ defaultAction: 'SCMP_ACT_ALLOW', syscalls: ['read'] }, 'security.seccomp.syscalls[0]'],
    [{ defaultAction: 'SCMP_ACT_ALLOW', syscalls: [{ action: 'SCMP_ACT_LOG' }] }, 'security.seccomp.syscalls[0].names'],
    [withRule({ name: 'write' }), 'security.seccomp.syscalls[0].name'],
    [withRule({ names: 'read' }), 'security.seccomp.syscalls[0].names'],
    [withRule({ names: ['read', ''] }), 'security.seccomp.syscalls[0].names[1]'],
    [withRule({ action: undefined }), 'security.seccomp.syscalls[0].action'],
    [withRule({ errnoRet: 1 }), 'security.seccomp.syscalls[0].errnoRet'],
    [withRule({ action: 'SCMP_ACT_ERRNO', errnoRet: 1.5 }), 'security.seccomp.syscalls[0].errnoRet'],
    [withRule({ args: {} }), 'security.seccomp.syscalls[0].args'],
    [withRule({ args: [null] }), 'security.seccomp.syscalls[0].args[0]'],
    [withRule({ includes: ['CAP_BPF'] }), 'security.seccomp.syscalls[0].includes'],
    [withRule({ includes: { caps: 'CAP_BPF' } }), 'security.seccomp.syscalls[0].includes.caps'],
    [withRule({ excludes: { arches: [1] } }), 'security.seccomp.syscalls[0].excludes.arches[0]'],
    [withRule({ excludes: { minKernel: 4.8 } }), 'security.seccomp.syscalls[0].excludes.minKernel'],
    [withRule({ includes: { minKernel: '4.8.1' } }), 'security.seccomp.syscalls[0].includes.minKernel'],
    [withArgument({ index: 6 }), 'security.seccomp.syscalls[0].args[0].index'],
    [withArgument({ index: undefined }), 'security.seccomp.syscalls[0].args[0].index'],
    [withArgument({ op: 'SCMP_CMP_SOME' }), 'security.seccomp.syscalls[0].args[0].op'],
    [withArgument({ op: 'EQ' }), 'security.seccomp.syscalls[0].args[0].op'],
    [withArgument({ value: undefined }), 'security.seccomp.syscalls[0].args[0].value'],
    [withArgument({ value: -1 }), 'security.seccomp.syscalls[0].args[0].value'],
    [withArgument({ value: '1' }), 'security.seccomp.syscalls[0].args[0].value'],
    [withArgument({ value: 2 ** 53 }), 'security.seccomp.syscalls[0].args[0].value'],
    [withArgument({ value: 1n << 64n }), 'security.seccomp.syscalls[0].args[0].value'],
    [withArgument({ valueTwo: 0.5 }), 'security.seccomp.syscalls[0].args[0].valueTwo'],
  ])('%j is refused at %s', (profile, field) => {
    const wrong = expect.objectContaining({
      code: INVALID,
      stage: 'options',
      message: expect.stringContaining(`${field}: `),
    })
    expect(() => parseDockerProfile(profile)).toThrow(wrong)
  })

  test('name the option that they came in', () => {
    expect(() => parseSpecSeccomp({ defaultAction: 'SCMP_ACT_ALLOW', syscalls: [{}] })).toThrow(
      'linux.seccomp.syscalls[0].names',
    )
    expect(() => parseSpecSeccomp({ defaultAction: 'SCMP_ACT_ALLOW', syscalls: [{ name: 'read' }] }, 'here')).toThrow(
      'here.syscalls[0].names',
    )
  })

  test.each([{ defaultAction: 'SCMP_ACT_NOTIFY' }, withRule({ action: 'SCMP_ACT_NOTIFY' })])(
    '%j has no listener',
    (profile) => {
      for (const parse of [parseDockerProfile, parseSpecSeccomp])
        expect(() => parse(profile)).toThrow(
          expect.objectContaining({ code: 'ERR_CAISSON_UNSUPPORTED', message: expect.stringContaining('listener') }),
        )
    },
  )
})

test.each([
  ['a list of rules', { defaultAction: 'SCMP_ACT_ALLOW', Syscalls: [{ names: ['mount'], action: 'SCMP_ACT_ERRNO' }] }],
  ['conditions', withRule({ Args: [{ index: 0, value: 1, op: 'SCMP_CMP_EQ' }] })],
  ['what a rule is not there for', withRule({ excludeS: { caps: ['CAP_BPF'] } })],
  ['the second value', withArgument({ valuetwo: 1 })],
  ['capabilities', withRule({ includes: { Caps: ['CAP_BPF'] } })],
])('%s in other letters, which Docker would take for it, is not passed over', (_, profile) => {
  expect(() => parseDockerProfile(profile)).toThrow(expect.objectContaining({ code: INVALID }))
})
