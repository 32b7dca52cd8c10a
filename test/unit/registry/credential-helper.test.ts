/** Helpers that keep credentials, as they should not be: silent, talkative, broken. */
import { chmodSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { askHelper, tellHelper } from '../../../lib/registry/credential-helper.js'
import { removeScratch, scratch } from '../../support/tree.js'

afterAll(removeScratch)

/** The environment in which it is found. */
function helper(script: string): NodeJS.ProcessEnv {
  const directory = scratch()
  const file = path.join(directory, 'docker-credential-odd')
  writeFileSync(file, `#!/bin/sh\n${script}\n`)
  chmodSync(file, 0o755)
  return { PATH: `${directory}:${process.env.PATH}` }
}

const ask = (script: string, signal?: AbortSignal) =>
  askHelper('odd', 'registry.example', 'config.json', helper(script), signal)

/** Streams of other processes that keep this one waiting. */
const open = () => process.getActiveResourcesInfo().filter((kind) => /^(Pipe|Process)Wrap$/.test(kind)).length

test.each([
  ['prints what is no JSON', 'echo s3cret'],
  ['prints nothing', 'true'],
  ['prints null', 'echo null'],
  ['prints no secret', `echo '{"Username":"me"}'`],
  ['prints numbers', `echo '{"Username":1,"Secret":2}'`],
  ['fails', 'echo broken; exit 1'],
  ['is ended by a signal', 'kill -9 $$'],
  ['prints without end', 'while :; do echo aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; done'],
])('one that %s is an error of the configuration, which does not tell what it printed', async (_, script) => {
  const error = await ask(script).catch((error) => error)
  expect(error).toMatchObject({ code: 'ERR_CAISSON_REGISTRY_CONFIG', hint: expect.any(String) })
  expect(error.message).toContain('docker-credential-odd')
  expect(error.message).not.toContain('s3cret')
})

test('one that does not read what it is told, and closes its input', async () => {
  expect(await ask(`exec <&-; echo '{"Username":"me","Secret":"x"}'`)).toMatchObject({ username: 'me', password: 'x' })
})

test('one that hangs, with a program that holds its output: it is given up, and nothing is waited for', async () => {
  const before = open()
  const hanging = tellHelper('odd', 'get', 'registry.example', 'config.json', helper('sleep 60; true'), undefined, 200)
  await expect(hanging).rejects.toMatchObject({
    code: 'ERR_CAISSON_REGISTRY_CONFIG',
    message: expect.stringContaining('no answer within 200 ms'),
  })
  await expect(ask('sleep 60; true', AbortSignal.timeout(100))).rejects.toMatchObject({ code: 'ERR_CAISSON_ABORTED' })
  await new Promise((resolve) => setTimeout(resolve, 100))
  expect(open()).toBeLessThanOrEqual(before)
})
