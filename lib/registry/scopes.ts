/** Scopes of tokens, as `repository:library/alpine:pull`. Pure. */

/** All of both, each once, in order. */
export function mergeScopes(...lists: readonly (readonly string[])[]): string[] {
  return [...new Set(lists.flat())].sort()
}

export function repositoryScope(repository: string, ...actions: Array<'pull' | 'push'>): string {
  return `repository:${repository}:${actions.join(',')}`
}
