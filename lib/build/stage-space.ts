/** What the steps of a stage have in common while they are made. */
import type { StagePlan } from './dockerfile/plan-types.js'
import type { Platform } from './dockerfile/platform.js'
import type { KeptView } from './kept-view.js'
import type { Workspace } from './workspace.js'

export class StageSpace implements AsyncDisposable {
  readonly platform: Platform
  readonly #space: Workspace
  #kept: Promise<KeptView> | undefined

  constructor(space: Workspace, { platform }: StagePlan) {
    this.#space = space
    this.platform = platform
  }

  /** For those that copy; loaded when the first of them is made. */
  view(): Promise<KeptView> {
    this.#kept ??= import('./kept-view.js').then(({ KeptView: View }) => new View(this.#space))
    return this.#kept
  }

  /** What it shows is old when a command has run. */
  async closeView(): Promise<void> {
    await (await this.#kept)?.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.closeView()
  }
}
