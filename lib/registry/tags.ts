/** The tags of a repository, page by page. */
import { type Endpoint, linkOf } from './endpoint.js'
import { protocolError } from './failure.js'
import { repositoryScope } from './scopes.js'

const PAGE = 1000
const PAGE_BYTES_MAX = 8 * 1024 * 1024
const TAGS_MAX = 1_000_000

export async function listTags(endpoint: Endpoint, repository: string, signal?: AbortSignal): Promise<string[]> {
  const tags: string[] = []
  const scopes = [repositoryScope(repository, 'pull')]
  let to: string | URL | undefined = `/v2/${repository}/tags/list?n=${PAGE}`
  while (to !== undefined) {
    const response = await endpoint.expect({ method: 'GET', to, scopes, signal }, [200], `the tags of ${repository}`)
    const bytes = await response.body.bytes(PAGE_BYTES_MAX, 'a list of tags')
    const page = parsePage(bytes, response.url)
    tags.push(...page)
    if (tags.length > TAGS_MAX) throw protocolError(response.url, `it lists more than ${TAGS_MAX} tags`)
    to = linkOf(response)
    // A page without tags whose next page is without tags would never end.
    if (page.length === 0) break
  }
  return tags
}

function parsePage(bytes: Buffer, url: URL): string[] {
  let answer: { tags?: unknown } | null
  try {
    answer = JSON.parse(bytes.toString('utf8'))
  } catch {
    throw protocolError(url, 'the list of tags is not JSON')
  }
  const tags = answer?.tags ?? []
  if (!Array.isArray(tags) || tags.some((tag) => typeof tag !== 'string'))
    throw protocolError(url, 'the list of tags is none')
  return tags
}
