/** Variables of an environment that is an object, as this process's. */

export type Environment = Readonly<Record<string, string | undefined>>

/** undefined: it is not set. What every object has besides (`constructor`, `toString`) is no variable. */
export function variableIn(environment: Environment, name: string): string | undefined {
  return name in Object.prototype && !Object.hasOwn(environment, name) ? undefined : environment[name]
}
