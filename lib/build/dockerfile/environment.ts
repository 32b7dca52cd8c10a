/** Variables in the order in which they were last set. */
import type { Variables } from './shell.js'

export class Environment implements Variables {
  private readonly values: Map<string, string>

  constructor(values: Iterable<[string, string]> = []) {
    this.values = new Map(values)
  }

  /** Of `NAME=value` texts; one without `=` is set to nothing. */
  static of(texts: readonly string[]): Environment {
    const environment = new Environment()
    for (const text of texts) environment.set(...splitVariable(text))
    return environment
  }

  get(name: string): string | undefined {
    return this.values.get(name)
  }

  set(name: string, value: string): void {
    this.values.delete(name)
    this.values.set(name, value)
  }

  names(): string[] {
    return [...this.values.keys()]
  }

  entries(): Array<[name: string, value: string]> {
    return [...this.values]
  }

  texts(): string[] {
    return [...this.values].map(([name, value]) => `${name}=${value}`)
  }

  clone(): Environment {
    return new Environment(this.values)
  }
}

export function splitVariable(text: string): [name: string, value: string] {
  const equals = text.indexOf('=')
  return equals < 0 ? [text, ''] : [text.slice(0, equals), text.slice(equals + 1)]
}
