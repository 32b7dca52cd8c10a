/** Fields of documents, each of its type. What is null counts as absent, as for every decoder written in Go. */
import { documentError, type Json } from './json.js'

export class Fields {
  readonly #object: Json
  readonly #what: string
  readonly #at: string

  constructor(object: Json, what: string, at = '') {
    this.#object = object
    this.#what = what
    this.#at = at
  }

  fail(name: string, wanted: string): never {
    throw documentError(this.#what, `${this.#at}${name} is not ${wanted}`)
  }

  has(name: string): boolean {
    return this.#object[name] !== undefined && this.#object[name] !== null
  }

  text(name: string): string | undefined {
    const value = this.#value(name)
    if (value === undefined || typeof value === 'string') return value
    return this.fail(name, 'a string')
  }

  requiredText(name: string): string {
    return this.text(name) || this.fail(name, 'a string that says something')
  }

  /** A whole number that is not negative. */
  count(name: string): number | undefined {
    const value = this.#value(name)
    if (value === undefined) return undefined
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value
    return this.fail(name, 'a whole number that is not negative')
  }

  boolean(name: string): boolean | undefined {
    const value = this.#value(name)
    if (value === undefined || typeof value === 'boolean') return value
    return this.fail(name, 'true or false')
  }

  object(name: string): Json | undefined {
    const value = this.#value(name)
    if (value === undefined) return undefined
    return isObject(value) ? value : this.fail(name, 'an object')
  }

  list(name: string): unknown[] | undefined {
    const value = this.#value(name)
    if (value === undefined || Array.isArray(value)) return value
    return this.fail(name, 'a list')
  }

  objects(name: string): Json[] | undefined {
    return this.list(name)?.map((item, index) => (isObject(item) ? item : this.fail(`${name}[${index}]`, 'an object')))
  }

  texts(name: string): string[] | undefined {
    return this.list(name)?.map((item, index) =>
      typeof item === 'string' ? item : this.fail(`${name}[${index}]`, 'a string'),
    )
  }

  /** Names to strings. */
  map(name: string): Record<string, string> | undefined {
    const object = this.object(name)
    if (!object) return undefined
    for (const [key, value] of Object.entries(object))
      if (typeof value !== 'string') this.fail(`${name}[${JSON.stringify(key.slice(0, 100))}]`, 'a string')
    return object as Record<string, string>
  }

  /** A set, written as names to empty objects. */
  set(name: string): Record<string, Record<string, never>> | undefined {
    const object = this.object(name)
    if (!object) return undefined
    return Object.fromEntries(
      Object.entries(object).map(([key, value]) => {
        if (value !== null && !isObject(value)) this.fail(`${name}[${JSON.stringify(key.slice(0, 100))}]`, 'an object')
        return [key, {}]
      }),
    )
  }

  #value(name: string): unknown {
    const value = Object.hasOwn(this.#object, name) ? this.#object[name] : undefined
    return value === null ? undefined : value
  }
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
