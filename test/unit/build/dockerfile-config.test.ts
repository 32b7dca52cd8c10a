/** Whole Dockerfiles: configuration, history and what is done, against answers of the real BuildKit. */

import { parseLintOptions } from '../../../lib/build/dockerfile/lint.js'
import { planBuild } from '../../../lib/build/dockerfile/plan.js'
import type { CopySource, CopyStep, Mount, Owner, RunStep, Step } from '../../../lib/build/dockerfile/plan-types.js'
import type { ImageConfig } from '../../../lib/spec/image.js'
import { baseImages } from '../../support/base-images.js'
import { casesOf, missingCases } from '../../support/cases.js'

interface Operation {
  op: string
  [field: string]: unknown
}
interface Case {
  name: string
  dockerfile: string
  config?: ImageConfig & { ArgsEscaped?: boolean }
  history?: string[]
  author?: string
  ops?: Operation[]
  error?: string
}

/** Refused for another reason than BuildKit's: here SOURCE_DATE_EPOCH is a number and nothing else. */
const OTHER_WORDS: Record<string, string> = {
  'testSourceDateEpochStageInvalid#1@dockerfile_source_date_epoch_test.go': 'invalid SOURCE_DATE_EPOCH: mysource',
}

const plan = (dockerfile: string) =>
  planBuild(
    dockerfile,
    {
      platform: 'linux/amd64',
      buildPlatform: 'linux/amd64',
      allow: ['security.insecure', 'network.host', 'device'],
      // The answers were made without checks.
      checks: parseLintOptions('skip=all'),
    },
    async ({ name }) => baseImages(name),
  )

describe('dockerfile-config: embedded', () => {
  if (missingCases) {
    test(`no cases here (${missingCases})`, () => expect(missingCases).toBeDefined())
    return
  }
  const all = casesOf<Case>('dockerfile-config', 'embedded')
  const good = all.filter(({ error }) => error === undefined)
  const bad = all.filter(({ error }) => error !== undefined)
  const named = (cases: Case[]) => cases.map((each) => [each.name, each] as const)

  test.each(named(good))('%s', async (_, given) => {
    const { target, stages } = await plan(given.dockerfile)
    const { ArgsEscaped, ...config } = given.config ?? {}
    expect(plain(target.image.config)).toEqual(plain(config))
    expect(target.image.history.map(historyText)).toEqual(given.history ?? [])
    expect(target.image.author).toBe(given.author)
    // The order of independent stages means nothing.
    expect(sorted(stages.flatMap(({ steps }) => steps.flatMap(operations)))).toEqual(sorted(given.ops ?? []))
  })

  test.each(named(bad))('%s is refused', async (_, given) => {
    // Where there are several words as near as each other, which one is proposed is chance.
    const [message = ''] = OTHER_WORDS[given.name]
      ? [OTHER_WORDS[given.name]]
      : (given.error ?? '').replace(/^dockerfile parse error on line \d+: /, '').split(' (did you mean')
    await expect(plan(given.dockerfile)).rejects.toMatchObject({
      code: 'ERR_CAISSON_DOCKERFILE',
      message: expect.stringContaining(message),
    })
    const [, line] = /^dockerfile parse error on line (\d+)/.exec(given.error ?? '') ?? []
    if (line) await expect(plan(given.dockerfile)).rejects.toMatchObject({ location: { line: Number(line) } })
  })
})

/** Without what is not there: empty objects and lists count for nothing but for commands. */
function plain(config: ImageConfig): unknown {
  return JSON.parse(JSON.stringify(config))
}

function historyText({ created_by = '', empty_layer }: { created_by?: string; empty_layer?: boolean }): string {
  return (empty_layer ? '[empty] ' : '') + created_by
}

/** Operations that the table lists for a step. Those that are the same are there once, so sources are not compared. */
function operations(step: Step): Operation[] {
  if (step.kind === 'mkdir') return [{ op: 'mkdir', path: step.path, owner: step.owner ? ownerOf(step.owner) : null }]
  return step.kind === 'run' ? execution(step) : copies(step)
}

function execution(step: RunStep): Operation[] {
  // A secret that is a variable alone is no mount.
  const mounts = step.mounts.filter((mount) => mount.type !== 'secret' || mount.target).map(mountOf)
  const script = { dest: '/dev/pipes/', readonly: true, selector: '/', type: 'bind' }
  const all = step.script ? [script, ...mounts] : mounts
  return [
    ...(step.script ? [{ op: 'mkfile', path: `/${step.script.name}`, data: step.script.content }] : []),
    ...step.mounts
      .filter(isOwned)
      .map((mount) => ({ op: 'mkdir', path: '/cache', owner: [mount.uid ?? 0, mount.gid ?? 0] })),
    {
      op: 'exec',
      args: step.args,
      cwd: step.workdir,
      env: step.env,
      user: step.user,
      ...(all.length > 0 ? { mounts: all } : {}),
      ...(step.network === 'default' ? {} : { network: step.network.toUpperCase() }),
    },
  ]
}

const isOwned = (mount: Mount): mount is Mount & { type: 'cache' } =>
  mount.type === 'cache' && mount.path === '/' && (mount.uid ?? mount.gid ?? mount.mode) !== undefined

function mountOf(mount: Mount): unknown {
  if (mount.type === 'secret' || mount.type === 'ssh')
    return { dest: mount.target, readonly: false, selector: '', type: mount.type }
  const path = mount.type === 'tmpfs' || mount.path === '/' ? '' : mount.path
  return { dest: mount.target, readonly: mount.readOnly, selector: isOwned(mount) ? '/cache' : path, type: mount.type }
}

function copies(step: CopyStep): Operation[] {
  const common = {
    op: 'copy',
    dest: step.destination,
    createDestPath: true,
    ...(step.owner ? { owner: ownerOf(step.owner) } : {}),
    ...(step.mode === undefined ? {} : { mode: step.mode }),
    ...(step.excludes.length > 0 ? { exclude: step.excludes } : {}),
  }
  const remote = { dirCopyContents: false, followSymlink: false, wildcard: false }
  return [
    ...step.sources.map((source: CopySource) =>
      source.kind === 'path'
        ? {
            ...common,
            src: source.path,
            dirCopyContents: true,
            followSymlink: true,
            wildcard: true,
            unpack: source.unpack,
          }
        : {
            ...common,
            ...remote,
            src: source.kind === 'http' ? `/${source.fileName}` : '/',
            unpack: source.kind === 'http' && source.unpack,
          },
    ),
    ...step.files.flatMap(({ name, content }) => [
      { op: 'mkfile', path: `/${name}`, data: content },
      { ...common, ...remote, src: `/${name}`, unpack: false },
    ]),
  ]
}

const ownerOf = ({ user, group }: Owner) => [user, group ?? null]

function sorted(operations: Operation[]): string[] {
  const files = new Set<string>()
  return operations
    .filter(({ op, path, data }) => op !== 'mkfile' || (!files.has(`${path} ${data}`) && files.add(`${path} ${data}`)))
    .filter(({ op }) => op !== 'source')
    .map((operation) =>
      JSON.stringify(Object.fromEntries(Object.entries(operation).sort(([a], [b]) => (a < b ? -1 : 1)))),
    )
    .sort()
}
