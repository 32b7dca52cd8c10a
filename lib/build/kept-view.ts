/**
 * The view of a stage, from one of its steps to the next: to open one takes longer than most copies do. What a copy adds is
 * told to it, so that it shows the files as they are then; after anything else another is opened.
 */
import path from 'node:path'
import type { Member } from './files/entry.js'
import type { BuildLayer, Stack } from './layers.js'
import { StageView } from './view.js'
import type { Workspace } from './workspace.js'

/** Marks of layers: in the names of files they say that something is gone. */
const MARK = '.wh.'

/** What a view that was told of files may not be enough for. */
interface Needs {
  /** Owners of directories as they are on disk. */
  owners?: boolean
  /** Names of users and groups. */
  names?: boolean
}

export class KeptView implements AsyncDisposable {
  readonly #space: Workspace
  #view: StageView | undefined
  /** What it shows. */
  #stack: Stack = []

  constructor(space: Workspace) {
    this.#space = space
  }

  /** It stays open, and nobody else closes it. */
  async of(stack: Stack, needs: Needs = {}): Promise<StageView> {
    if (this.#view && isSame(this.#stack, stack) && !(await isShort(this.#view, needs))) return this.#view
    await this.close()
    this.#view = await StageView.open(this.#space, stack)
    this.#stack = stack
    return this.#view
  }

  /** A copy has put a layer with these members on top of a stack. */
  tell(stack: Stack, layer: BuildLayer, members: readonly Member[]): void {
    if (!this.#view || !isSame(this.#stack, stack) || members.some(isMark)) return
    this.#view.tell(layer, members)
    this.#stack = [...stack, layer]
  }

  async close(): Promise<void> {
    const view = this.#view
    this.#view = undefined
    await view?.[Symbol.asyncDispose]()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}

async function isShort(view: StageView, { owners, names }: Needs): Promise<boolean> {
  if (!view.told) return false
  return owners === true || (names === true && (await view.toldNames()))
}

const isSame = (one: Stack, other: Stack) =>
  one.length === other.length && one.every(({ diffId }, index) => diffId === other[index]?.diffId)

const isMark = ({ path: at }: Member) => path.posix.basename(at).startsWith(MARK)
