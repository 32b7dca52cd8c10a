/** The `filters` of lists and prunes: a JSON object of names to lists, or (of old clients) to sets. */
import { badRequest } from './failure.js'

export class Filters {
  readonly #lists: ReadonlyMap<string, readonly string[]>

  private constructor(lists: ReadonlyMap<string, readonly string[]>) {
    this.#lists = lists
  }

  /** @param known names that there are; another one is refused: what it leaves out would be listed, or removed. */
  static parse(text: string | undefined, known: readonly string[]): Filters {
    if (text === undefined || text === '') return new Filters(new Map())
    let value: unknown
    try {
      value = JSON.parse(text)
    } catch {
      throw badRequest('invalid filter: it is not JSON')
    }
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      throw badRequest('invalid filter: it is not an object')
    const lists = new Map<string, readonly string[]>()
    for (const [name, given] of Object.entries(value)) {
      if (!known.includes(name)) throw badRequest(`invalid filter '${name.slice(0, 100)}'`)
      lists.set(name, listOf(name, given))
    }
    return new Filters(lists)
  }

  get(name: string): readonly string[] {
    return this.#lists.get(name) ?? []
  }

  /** One of the values fits, or there are none. */
  some(name: string, fits: (value: string) => boolean): boolean {
    const values = this.get(name)
    return values.length === 0 || values.some(fits)
  }

  /** `name`, or `name=value`; all must be there. */
  labels(labels: Readonly<Record<string, string>>): boolean {
    return this.get('label').every((wanted) => {
      const [, name = '', value] = /^([^=]*)(?:=(.*))?$/s.exec(wanted) ?? []
      return Object.hasOwn(labels, name) && (value === undefined || labels[name] === value)
    })
  }

  boolean(name: string, otherwise: boolean): boolean {
    const values = this.get(name)
    if (values.length === 0) return otherwise
    const [isTrue, isFalse] = [values.some((each) => TRUE.has(each)), values.some((each) => FALSE.has(each))]
    if (isTrue !== isFalse && values.every((each) => TRUE.has(each) || FALSE.has(each))) return isTrue
    throw badRequest(`invalid filter '${name}=${JSON.stringify(values)}'`)
  }
}

const TRUE = new Set(['1', 'true'])
const FALSE = new Set(['0', 'false'])

function listOf(name: string, given: unknown): readonly string[] {
  const list = Array.isArray(given)
    ? given
    : typeof given === 'object' && given !== null
      ? Object.entries(given).flatMap(([key, chosen]) => (chosen === true ? [key] : []))
      : undefined
  if (list?.every((each) => typeof each === 'string')) return list as string[]
  throw badRequest(`invalid filter: ${name} is not a list of texts`)
}
