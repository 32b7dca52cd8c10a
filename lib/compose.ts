/** Projects: services that belong together, as a compose file has them. */
import type { ComposeOptions } from './project/load.js'
import type { Project } from './project/project.js'

export type { ComposeOptions } from './project/load.js'

/**
 * Reads a compose file (docs/compose.md); nothing runs before up(). A directory stands for the compose.yaml in it, and
 * several files go over each other.
 *
 * @throws CaissonError ERR_CAISSON_COMPOSE, or ERR_CAISSON_UNSUPPORTED, with file, line and column.
 */
export async function compose(
  file: string | readonly string[] | object,
  options: ComposeOptions = {},
): Promise<Project> {
  // They use all the rest, and few programs need them: loaded when it is called.
  const [{ loadProject }, { Project }] = await Promise.all([
    import('./project/load.js'),
    import('./project/project.js'),
  ])
  return new Project(await loadProject(file, options))
}
