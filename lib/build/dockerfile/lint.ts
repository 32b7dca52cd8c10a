/** Collects warnings, as far as the file and its comments want them. */
import { DirectiveParser, findDirective, firstWord } from './directives.js'
import { parseGoBoolean } from './go-values.js'
import { EXPERIMENTAL_RULES, type LintRule, ruleAddress } from './lint-rules.js'
import type { Place } from './place.js'
import { fault, type SourceFile, type Span } from './source.js'
import { quote } from './text.js'

export interface LintWarning {
  rule: LintRule
  message: string
  /** Where the rule is explained. */
  url: string
  span: Span
}

/** Which checks are made. */
export interface LintOptions {
  skip: ReadonlySet<string> | 'all'
  experimental: ReadonlySet<string> | 'all'
  /** A warning fails the build. */
  error: boolean
}

const NONE: ReadonlySet<string> = new Set()

/**
 * `skip=A,B;experimental=all;error=true`, or the same for all rules.
 * @throws CaissonError ERR_CAISSON_DOCKERFILE
 */
export function parseLintOptions(text: string): LintOptions {
  const options: LintOptions = { skip: NONE, experimental: NONE, error: false }
  if (text.trim() === '') return options
  for (const part of text.trim().split(';')) {
    const [name = '', value] = part.split(/=(.*)/s, 2).map((side) => side.trim())
    if (value === undefined) throw invalid(part)
    if (name === 'skip' || name === 'experimental')
      options[name] = value === 'all' ? 'all' : new Set(value.split(',').map((rule) => rule.trim()))
    else if (name === 'error') {
      const error = parseGoBoolean(value)
      if (error === undefined) throw fault(`failed to parse check option ${quote(part)}`, 'Write error=true.')
      options.error = error
    } else throw invalid(name)
  }
  return options
}

const invalid = (option: string) =>
  fault(`invalid check option ${quote(option)}`, 'There are skip=RULES, experimental=RULES and error=true.')

export class Linter {
  readonly warnings: LintWarning[] = []
  private readonly options: LintOptions

  /** @param options instead of those of the file's `# check=` directive. */
  constructor(source: SourceFile, options?: LintOptions) {
    this.options = options ?? fileOptions(source)
  }

  /** @param place the instruction that the warning is about, whose comments may switch it off. */
  warn(rule: LintRule, place: Place, message: string, span: Span = place.span): void {
    if (this.wants(this.options, rule) && !this.skippedBy(place.node.line.comments, rule))
      this.warnings.push({ rule, message, url: ruleAddress(rule), span })
  }

  /** @throws CaissonError ERR_CAISSON_DOCKERFILE when there are warnings and the file wants none. */
  finish(source: SourceFile): LintWarning[] {
    this.warnings.sort((a, b) => a.span.start.line - b.span.start.line || a.span.start.column - b.span.start.column)
    const [first] = this.warnings
    if (first && this.options.error) {
      const rules = [...new Set(this.warnings.map(({ rule }) => rule))]
      const hint = `${first.message}. Or leave out error=true of the check directive.`
      throw source.locate(fault(`lint violation found for rules: ${rules.join(', ')}`, hint), first.span)
    }
    return this.warnings
  }

  private wants({ skip, experimental }: LintOptions, rule: LintRule): boolean {
    if (EXPERIMENTAL_RULES.has(rule)) return experimental === 'all' || experimental.has(rule)
    return skip !== 'all' && !skip.has(rule)
  }

  /** `# check=skip=...` just above an instruction holds for it alone. */
  private skippedBy(comments: readonly string[], rule: LintRule): boolean {
    for (const comment of comments) {
      const directive = new DirectiveParser('').parse(comment, 0)
      if (directive?.name !== 'check') continue
      try {
        const { skip } = parseLintOptions(firstWord(directive.value))
        return !EXPERIMENTAL_RULES.has(rule) && (skip === 'all' || skip.has(rule))
      } catch {
        return false
      }
    }
    return false
  }
}

function fileOptions(source: SourceFile): LintOptions {
  const directive = findDirective(source.text, 'check')
  if (!directive) return parseLintOptions('')
  const start = { line: directive.line, column: 1 }
  return source.at({ start, end: start }, () => parseLintOptions(firstWord(directive.value)))
}
