/** Projects of compose files in a test that has a network of its own: all are called `p`, one at a time. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Container, compose, Network, type Project, Volume } from '../../lib/index.js'
import { imageRoots } from '../../lib/runtime/image/roots.js'
import { busyboxImage } from './busybox-image.js'
import { storeImage } from './store-images.js'

/** Commands of services. */
export const SERVE = (text: string) => `["sh", "-c", "while :; do echo ${text} | busybox nc -l -p 80; done"]`
export const SLEEP = `["sh", "-c", "trap 'exit 0' TERM; sleep 1000 & wait"]`

export class Projects {
  readonly directory = mkdtempSync(path.join(tmpdir(), 'caisson-compose-'))
  readonly file = path.join(this.directory, 'compose.yaml')

  /** Sets a file of tests up: the image `box`, and nothing that is left after any of them. */
  constructor(missing: unknown) {
    beforeAll(async () => {
      if (!missing) await storeImage((await imageRoots()).store, busyboxImage(), 'docker.io/library/box:latest')
    })
    afterEach(async () => {
      if (!missing) await nothingLeft()
    })
    afterAll(() => rmSync(this.directory, { recursive: true }))
  }

  async load(text: string, options: object = {}): Promise<Project> {
    writeFileSync(this.file, text)
    return compose(this.file, { projectName: 'p', env: {}, ...options })
  }
}

export async function statesOf(project: Project): Promise<Record<string, string>> {
  return Object.fromEntries((await project.ps()).map(({ name, state }) => [name, state]))
}

/** What its services print, sorted. */
export async function read(project: Project, options: object = {}): Promise<string[]> {
  const lines: string[] = []
  for await (const { service, data } of project.logs(options)) lines.push(`${service}: ${data.toString().trim()}`)
  return lines.sort()
}

export async function nothingLeft(): Promise<void> {
  expect(await Container.list({ labels: { 'com.docker.compose.project': 'p' } })).toEqual([])
  expect((await Network.list()).map(({ name }) => name).filter((name) => name !== 'bridge')).toEqual([])
  expect(await Volume.list()).toEqual([])
}
