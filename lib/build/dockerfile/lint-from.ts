/** The checks that look at FROM. */

import { didYouMean, nearest } from '../../util/suggest.js'
import type { Environment } from './environment.js'
import { globalArgs } from './global-args.js'
import { isImageName } from './image-name.js'
import type { Arg, From, Stage } from './instruction.js'
import type { Escape } from './lines.js'
import type { Linter } from './lint.js'
import type { BaseImage } from './plan-types.js'
import { formatPlatform, type Platform, parsePlatform } from './platform.js'
import { type Expansion, expand } from './shell.js'
import type { StageNode } from './stage-node.js'
import { quote } from './text.js'

export function lintFrom(
  linter: Linter,
  from: From,
  image: Expansion,
  platform: Expansion | undefined,
  declared: ReadonlySet<string>,
  globals: Environment,
): void {
  const { place } = from
  for (const [expansion, token] of [
    [image, from.image],
    [platform, from.platform],
  ] as const)
    for (const name of expansion?.unmatched ?? [])
      if (!declared.has(name) && token)
        linter.warn(
          'UndefinedArgInFrom',
          place,
          `$${name} is not declared by an ARG above the first FROM${didYouMean(nearest(name, declared))}`,
          place.spanOf(token),
        )
  if (platform && from.platform) lintPlatform(linter, from, platform, globals)
}

function lintPlatform(
  linter: Linter,
  { place, stage = '', platform }: From,
  expansion: Expansion,
  globals: Environment,
): void {
  const { text, matched, unmatched } = expansion
  const span = platform && place.spanOf(platform)
  if (
    matched.size === 1 &&
    unmatched.size === 0 &&
    matched.has('TARGETPLATFORM') &&
    text === globals.get('TARGETPLATFORM')
  )
    linter.warn('RedundantTargetPlatform', place, `Leave out --platform=${platform?.text}: it is what FROM takes`, span)
  if (matched.size > 0 || unmatched.size > 0) return
  const parsed = tryParse(text)
  // A stage that is named after its platform is meant for it.
  if (parsed && !stage.includes(parsed.os) && !stage.includes(parsed.architecture))
    linter.warn('FromPlatformFlagConstDisallowed', place, `--platform=${text} is a constant; use $BUILDPLATFORM`, span)
}

function tryParse(text: string): Platform | undefined {
  try {
    return parsePlatform(text, { os: 'linux', architecture: 'amd64' })
  } catch {
    return undefined
  }
}

/** What the names of base images are when the caller sets no arguments. */
export function lintDefaultNames(
  linter: Linter,
  stages: Stage[],
  predefined: Environment,
  args: Arg[],
  escaper: Escape,
): void {
  let globals: Environment
  try {
    globals = globalArgs(predefined, args, new Map(), escaper)
  } catch {
    // The same error comes up again, with a place.
    return
  }
  for (const { from } of stages) {
    let name: string
    try {
      name = expand(from.image.text, globals, { escape: escaper }).text
    } catch {
      return
    }
    if (!isImageName(name))
      linter.warn(
        'InvalidDefaultArgInFrom',
        from.place,
        `Without build arguments ${from.image.text} is ${name === '' ? 'empty' : `${quote(name)}, which is no name of an image`}`,
        from.place.spanOf(from.image),
      )
  }
}

export function lintBasePlatform(
  linter: Linter,
  { place, stage }: StageNode,
  image: BaseImage,
  wanted: Platform,
): void {
  if (image.os !== wanted.os || image.architecture !== wanted.architecture)
    linter.warn(
      'InvalidBaseImagePlatform',
      place,
      `${stage.from.image.text} is for ${formatPlatform(image)}, and this is built for ${formatPlatform(wanted)}`,
    )
}
