/** Scopes of tokens, as `repository:library/alpine:pull`. Pure. */

/** All of both, each once, in order. */
export function mergeScopes(...lists: readonly (readonly string[])[]): string[] {
  return [...new Set(lists.flat())].sort()
}

export function repositoryScope(repository: string, ...actions: Array<'pull' | 'push'>): string {
  return `repository:${repository}:${actions.join(',')}`
}

/** Of what a server asks for, what our scopes do not have in them: `pull` is in `pull,push`. */
export function missingScopes(ours: readonly string[], asked: readonly string[]): string[] {
  return asked.filter((scope) => !ours.some((own) => covers(own, scope)))
}

function covers(own: string, asked: string): boolean {
  const [ownResource, ownActions] = splitScope(own)
  const [resource, actions] = splitScope(asked)
  return ownResource === resource && actions.every((action) => ownActions.includes(action))
}

function splitScope(scope: string): [resource: string, actions: string[]] {
  const colon = scope.lastIndexOf(':')
  return [scope.slice(0, colon), scope.slice(colon + 1).split(',')]
}
