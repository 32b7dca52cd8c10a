/** The checks of BuildKit that warn of what is allowed and mostly a mistake, by their names. */

/** Each rule and what it is about. */
export const LINT_RULES = {
  StageNameCasing: 'Names of stages are best in lower case',
  FromAsCasing: 'FROM and AS are best in the same case',
  NoEmptyContinuation: 'Empty lines between continued ones will be errors one day',
  ConsistentInstructionCasing: 'Instructions are best all in upper or all in lower case',
  DuplicateStageName: 'Of stages with the same name only the last can be reached by it',
  ReservedStageName: 'A stage that is named as something else already is hides it, or is hidden',
  JSONArgsRecommended: 'A command that runs in a shell does not get the signals that stop a container',
  MaintainerDeprecated: 'MAINTAINER was replaced by a label',
  UndefinedArgInFrom: 'FROM sees only what ARG declares above the first FROM',
  WorkdirRelativePath: 'A relative WORKDIR depends on the base image',
  UndefinedVar: 'A variable that is not set is nothing',
  MultipleInstructionsDisallowed: 'Of some instructions only the last one in a stage counts',
  LegacyKeyValueFormat: 'The old form of ENV and LABEL takes one pair, and all blanks after it',
  InvalidBaseImagePlatform: 'The base image is for another platform',
  RedundantTargetPlatform: 'TARGETPLATFORM is what FROM takes anyway',
  SecretsUsedInArgOrEnv: 'ARG and ENV stay in the image, where everybody can read them',
  InvalidDefaultArgInFrom: 'Without build arguments the name of the base image is empty or wrong',
  FromPlatformFlagConstDisallowed: 'A platform that is written out keeps the file from being built for others',
  CopyIgnoredFile: '.dockerignore leaves this file out of the context',
  InvalidDefinitionDescription: 'A comment above ARG or a stage is its description, and begins with its name',
  ExposeProtoCasing: 'Protocols of EXPOSE are best in lower case',
  ExposeInvalidFormat: 'EXPOSE takes no addresses and no ports of the host',
} as const

export type LintRule = keyof typeof LINT_RULES

/** Looked at only when they are asked for. */
export const EXPERIMENTAL_RULES: ReadonlySet<LintRule> = new Set<LintRule>(['InvalidDefinitionDescription'])

/** Where Docker explains a rule. */
export function ruleAddress(rule: LintRule): string {
  const words = rule.replace(/([a-z])([A-Z])/g, '$1-$2').replace(/([A-Z])([A-Z][a-z])/g, '$1-$2')
  return `https://docs.docker.com/go/dockerfile/rule/${words.toLowerCase()}/`
}
