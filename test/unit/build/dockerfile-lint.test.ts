/** Each check: where it warns, and where it does not. */
import { type LintOptions, parseLintOptions } from '../../../lib/build/dockerfile/lint.js'
import { LINT_RULES, ruleAddress } from '../../../lib/build/dockerfile/lint-rules.js'
import { type PlanOptions, planBuild } from '../../../lib/build/dockerfile/plan.js'
import type { BaseImage } from '../../../lib/build/dockerfile/plan-types.js'

const BASE: BaseImage = { os: 'linux', architecture: 'amd64', digest: 'sha256:base', config: {}, history: [] }

async function warnings(
  dockerfile: string,
  options: PlanOptions = {},
  image: Partial<BaseImage> = {},
): Promise<string[]> {
  const all = { buildPlatform: 'linux/amd64', ...options }
  const plan = await planBuild(dockerfile, all, async () => ({ ...BASE, ...image }))
  return plan.warnings.map(({ rule, span }) => `${rule} ${span.start.line}:${span.start.column}`)
}

const seen = new Set<string>()
function warns(dockerfile: string, expected: string[], options?: PlanOptions, image?: Partial<BaseImage>) {
  for (const each of expected) seen.add(each.split(' ')[0] as string)
  return expect(warnings(dockerfile, options, image)).resolves.toEqual(expected)
}

test('names of stages', async () => {
  await warns('FROM x AS Build', ['StageNameCasing 1:11'])
  await warns('FROM x as build', ['FromAsCasing 1:8'])
  await warns('from x AS build', ['FromAsCasing 1:8'])
  await warns('FROM x AS a\nFROM x AS a', ['DuplicateStageName 2:1'])
  await warns('FROM x AS scratch\nFROM x AS context', ['ReservedStageName 1:1', 'ReservedStageName 2:1'])
  await warns('from x as a\nFROM x AS b\nfrom a', ['ConsistentInstructionCasing 2:1'])
  await warns('FROM x\nrun a\nRUN b\nRun c', ['ConsistentInstructionCasing 2:1', 'ConsistentInstructionCasing 4:1'])
})

test('empty continuations', async () => {
  await warns('FROM x\nRUN a \\\n\n  b\nRUN a \\\n# comment\n  b', ['NoEmptyContinuation 4:1'])
})

test('FROM', async () => {
  await warns('FROM x$NAME', ['UndefinedArgInFrom 1:6'])
  await warns('ARG TAG\nFROM x:$TAG', ['InvalidDefaultArgInFrom 2:6'], { args: { TAG: '1' } })
  await warns('ARG TAG=1\nFROM x:$TAG', [])
  await warns('FROM --platform=$TARGETPLATFORM x', ['RedundantTargetPlatform 1:6'])
  await warns('FROM --platform=$BUILDPLATFORM x', [])
  await warns('FROM --platform=linux/amd64 x', ['FromPlatformFlagConstDisallowed 1:6'])
  await warns('FROM --platform=linux/amd64 x AS build-amd64', [])
  await warns('FROM x', ['InvalidBaseImagePlatform 1:1'], {}, { architecture: 'arm64' })
})

test('commands', async () => {
  await warns('FROM x\nCMD a\nENTRYPOINT ["a"]', ['JSONArgsRecommended 2:1'])
  await warns('FROM x\nSHELL ["/bin/sh"]\nCMD a', [])
  await warns('FROM x\nCMD ["a"]\nCMD ["b"]\nFROM x\nCMD ["c"]', [], { target: '1' })
  await warns('FROM x\nCMD ["a"]\nCMD ["b"]', ['MultipleInstructionsDisallowed 2:1'])
  await warns('FROM x\nMAINTAINER me', ['MaintainerDeprecated 2:1'])
})

test('variables', async () => {
  await warns('FROM x\nCOPY $foo .', ['UndefinedVar 2:6'])
  await warns('FROM x\nARG foo\nCOPY $foo .\nRUN echo $bar', [])
  await warns('FROM x\nENV a b', ['LegacyKeyValueFormat 2:1'])
  await warns('FROM x\nLABEL a b', ['LegacyKeyValueFormat 2:1'])
  await warns('FROM x\nARG TOKEN\nENV db_password=1 PUBLIC_KEY=2\nENV keyring=3', [
    'SecretsUsedInArgOrEnv 2:1',
    'SecretsUsedInArgOrEnv 3:1',
  ])
})

test('paths and ports', async () => {
  await warns('FROM x\nWORKDIR a\nWORKDIR b', ['WorkdirRelativePath 2:1'])
  await warns('FROM x\nWORKDIR /a\nWORKDIR b', [])
  await warns('FROM x\nEXPOSE 80/TCP 81', ['ExposeProtoCasing 2:8'])
  await warns('FROM x\nEXPOSE 127.0.0.1:80:80 90:90', ['ExposeInvalidFormat 2:8', 'ExposeInvalidFormat 2:24'])
  await warns('FROM x\nCOPY a b/c /\nADD b /\nCOPY . /', ['CopyIgnoredFile 2:8', 'CopyIgnoredFile 3:5'], {
    ignore: ['b'],
  })
  await warns('FROM x\nCOPY . /', ['CopyIgnoredFile 2:6'], { ignore: ['*'] })
  await warns('FROM x\nCOPY b /', [], { ignore: ['*', '!b'] })
})

test('descriptions, when they are asked for', async () => {
  const file = '# bad\nARG a=1\n# b is good\nFROM x AS b\n#\nARG c'
  await warns(file, [])
  await warns(`# check=experimental=all\n${file}`, ['InvalidDefinitionDescription 3:1'])
})

test('every rule was seen', () => {
  expect([...seen].sort()).toEqual(Object.keys(LINT_RULES).sort())
})

describe('what is wanted', () => {
  const file = 'FROM x AS A\nMAINTAINER me'

  test('the directive skips rules, or all', async () => {
    await warns(`# check=skip=StageNameCasing\n${file}`, ['MaintainerDeprecated 3:1'])
    await warns(`#check=skip=all\n${file}`, [])
    await warns(`# check=skip=StageNameCasing, MaintainerDeprecated // why\n${file}`, ['MaintainerDeprecated 3:1'])
    await warns(`# check=skip=all\n${file}`, ['StageNameCasing 2:11', 'MaintainerDeprecated 3:1'], {
      checks: parseLintOptions(''),
    })
  })

  test('a comment above an instruction skips them there', async () => {
    await warns('FROM x AS A\n# check=skip=MaintainerDeprecated\nMAINTAINER me\nMAINTAINER me', [
      'StageNameCasing 1:11',
      'MaintainerDeprecated 4:1',
    ])
  })

  test('error=true makes an error of the first', async () => {
    await expect(warnings(`# check=error=true\n${file}`)).rejects.toMatchObject({
      code: 'ERR_CAISSON_DOCKERFILE',
      message: expect.stringContaining('lint violation found for rules: StageNameCasing, MaintainerDeprecated'),
      location: { line: 2, column: 11 },
    })
    await warns('# check=skip=all;error=true\nFROM x AS A', [])
  })

  test('bad options are refused', async () => {
    expect(parseLintOptions('skip=A, B;experimental=all;error=1')).toEqual<LintOptions>({
      skip: new Set(['A', 'B']),
      experimental: 'all',
      error: true,
    })
    await expect(warnings(`# check=all\n${file}`)).rejects.toThrow('Dockerfile:1:1: invalid check option "all"')
    await expect(warnings(`# check=skip=A;fail=true\n${file}`)).rejects.toThrow('invalid check option "fail"')
  })
})

test('where a rule is explained', () => {
  expect(ruleAddress('JSONArgsRecommended')).toBe('https://docs.docker.com/go/dockerfile/rule/json-args-recommended/')
  expect(ruleAddress('SecretsUsedInArgOrEnv')).toMatch(/\/secrets-used-in-arg-or-env\/$/)
})
