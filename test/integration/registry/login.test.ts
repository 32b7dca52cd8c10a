/** `caisson login` and `logout`, against a registry with users. */
import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { keepLogin } from '../../../lib/registry/login.js'
import { type DockerRegistry, noRegistry, startRegistry } from '../../support/docker-registry.js'
import { findProgram, testIf } from '../../support/needs.js'
import { removeScratch, scratch } from '../../support/tree.js'

const testUsers = testIf(noRegistry || (!findProgram('htpasswd') && 'no htpasswd (apt: apache2-utils)'))
let registry: DockerRegistry
let home: string

beforeAll(async () => {
  if (!noRegistry) registry = await startRegistry({ user: ['me', 's3cret:word'] })
})
beforeEach(() => {
  home = scratch()
})
afterAll(async () => {
  await registry?.[Symbol.asyncDispose]()
  removeScratch()
})

function caisson(args: string[], input = '', env: NodeJS.ProcessEnv = {}) {
  const { PATH } = process.env
  const { status, stdout, stderr } = spawnSync(process.execPath, [path.resolve('dist/cli.js'), ...args], {
    input,
    encoding: 'utf8',
    env: { HOME: home, PATH, CAISSON_ROOT: path.join(home, 'root'), ...env },
  })
  expect(stdout + stderr).not.toContain('s3cret')
  return { status, stdout, stderr }
}

const logIn = (password = 's3cret:word\n', env = {}) =>
  caisson(['login', '-u', 'me', '--password-stdin', registry.host], password, env)
const pull = (env = {}) => caisson(['pull', `${registry.host}/nothing:1`], '', env).stderr
const kept = () => JSON.parse(readFileSync(path.join(home, '.docker/config.json'), 'utf8'))

testUsers('keeps what the registry takes, for its owner alone, and forgets it', async () => {
  expect(logIn()).toMatchObject({ status: 0, stdout: 'Login Succeeded\n' })
  const file = path.join(home, '.docker/config.json')
  expect(statSync(file).mode & 0o777).toBe(0o600)
  expect(kept().auths).toEqual({ [registry.host]: { auth: Buffer.from('me:s3cret:word').toString('base64') } })
  expect(pull()).toMatch(/404/)
  expect(caisson(['logout', registry.host])).toMatchObject({ status: 0, stdout: `Removed from ${file}\n` })
  expect(kept().auths).toEqual({})
  expect(pull()).toMatch(/login/)
  expect(caisson(['logout', registry.host]).stdout).toBe(`Not logged in to ${registry.host}\n`)
})

testUsers('keeps nothing that the registry refuses, or that nobody gives', async () => {
  expect(logIn('wrong')).toMatchObject({ status: 1, stdout: '' })
  for (const args of [[], ['-p', 'x', '--password-stdin'], ['--password-stdin'], ['-u', 'me']])
    expect(caisson(['login', ...args, registry.host]).status).toBe(1)
  expect(existsSync(path.join(home, '.docker'))).toBe(false)
})

testUsers('leaves the rest of the file, and a link that it may be, as they are', async () => {
  mkdirSync(path.join(home, '.docker'))
  const place = path.join(home, 'elsewhere.json')
  const others = { 'other.example': { auth: 'eDp5' }, 'other.example/team': { auth: 'eDp5' } }
  writeFileSync(place, JSON.stringify({ auths: others, HttpHeaders: { 'X-Own': 'yes' } }))
  symlinkSync(place, path.join(home, '.docker/config.json'))
  expect(logIn().status).toBe(0)
  expect(JSON.parse(readFileSync(place, 'utf8'))).toMatchObject({ auths: others, HttpHeaders: { 'X-Own': 'yes' } })
  caisson(['logout', 'other.example'])
  expect(Object.keys(kept().auths)).toEqual(['other.example/team', registry.host])
})

testUsers('renews a login where it is kept: in the file of podman, or in another that is named', async () => {
  const podman = path.join(home, '.config/containers/auth.json')
  mkdirSync(path.dirname(podman), { recursive: true })
  writeFileSync(podman, JSON.stringify({ auths: { [registry.host]: { auth: 'eDp5' } } }))
  expect(pull()).toMatch(/login/)
  expect(logIn().status).toBe(0)
  expect(pull()).toMatch(/404/)
  const REGISTRY_AUTH_FILE = path.join(home, 'named.json')
  expect(logIn(undefined, { REGISTRY_AUTH_FILE }).status).toBe(0)
  expect(pull({ REGISTRY_AUTH_FILE })).toMatch(/404/)
  expect(existsSync(path.join(home, '.docker'))).toBe(false)
})

testUsers('gives it to the helper that the file names, and takes it from there', async () => {
  const bin = path.join(home, 'bin')
  mkdirSync(bin)
  mkdirSync(path.join(home, '.docker'))
  writeFileSync(path.join(home, '.docker/config.json'), JSON.stringify({ credsStore: 'box' }))
  const script = `#!/bin/sh
case $1 in
  store) cat > ${home}/kept;;
  get) cat ${home}/kept 2>/dev/null || { echo credentials not found in native keychain; exit 1; };;
  erase) rm ${home}/kept;;
esac`
  writeFileSync(path.join(bin, 'docker-credential-box'), script)
  chmodSync(path.join(bin, 'docker-credential-box'), 0o755)
  const env = { PATH: `${bin}:${process.env.PATH}` }
  expect(logIn(undefined, env)).toMatchObject({ status: 0, stdout: 'Login Succeeded\n' })
  expect(kept()).toEqual({ credsStore: 'box', auths: { [registry.host]: {} } })
  expect(JSON.parse(readFileSync(path.join(home, 'kept'), 'utf8'))).toEqual({
    ServerURL: registry.host,
    Username: 'me',
    Secret: 's3cret:word',
  })
  expect(pull(env)).toMatch(/404/)
  expect(caisson(['logout', registry.host], '', env).status).toBe(0)
  expect(existsSync(path.join(home, 'kept'))).toBe(false)
})

test('docker.io is kept under the name that docker gives it', async () => {
  await keepLogin('docker.io', { username: 'me', password: 'x' }, { env: { DOCKER_CONFIG: path.join(home, 'd') } })
  const { auths } = JSON.parse(readFileSync(path.join(home, 'd/config.json'), 'utf8'))
  expect(Object.keys(auths)).toEqual(['https://index.docker.io/v1/'])
})
