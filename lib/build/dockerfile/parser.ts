/**
 * From the text of a file to its instructions, each split as its own grammar has it. What the parts mean, and whether
 * they are allowed, is not looked at here.
 */
import { type Heredoc, heredocsOf, readHeredoc } from './heredoc.js'
import { jsonStrings } from './json.js'
import { type Escape, LineReader, type LogicalLine } from './lines.js'
import { fault, SourceFile, type Span } from './source.js'
import { quote } from './text.js'
import { splitBlanks, splitKeyword, splitWords, type Token, takeFlags, token } from './words.js'

export interface Pair {
  key: Token
  value: Token
  /** Written as `key=value`, not in the old way as `key value`. */
  assigned: boolean
}

export interface ParsedInstruction {
  /** As written, in any case. */
  keyword: Token
  /** From the instruction to its end, for ONBUILD also without the ONBUILD. */
  text: Token
  flags: Token[]
  args: Token[]
  /** The arguments of ENV and LABEL. */
  pairs: Pair[]
  /** The arguments were a JSON array. */
  json: boolean
  heredocs: Heredoc[]
  /** What ONBUILD is followed by. */
  trigger?: ParsedInstruction
  line: LogicalLine
  /** The last line, that of the last here-document included. */
  endLine: number
}

export interface ParsedFile {
  source: SourceFile
  escape: Escape
  instructions: ParsedInstruction[]
}

type Arguments = Partial<Pick<ParsedInstruction, 'args' | 'pairs' | 'json' | 'trigger'>>
/** Takes the arguments between two offsets of a line apart. */
type Grammar = (line: LogicalLine, start: number, end: number, escaper: Escape, keyword: string) => Arguments

const GRAMMARS: Record<string, Grammar> = {
  ADD: jsonOr(blankSeparated),
  ARG: (line, start, end, escaper) => ({ args: splitWords(line.text.slice(0, end), start, escaper) }),
  CMD: jsonOr(whole),
  COPY: jsonOr(blankSeparated),
  ENTRYPOINT: jsonOr(whole),
  ENV: pairs,
  EXPOSE: blankSeparated,
  FROM: blankSeparated,
  HEALTHCHECK: health,
  LABEL: pairs,
  MAINTAINER: whole,
  ONBUILD: trigger,
  RUN: jsonOr(whole),
  SHELL: jsonOr(whole),
  STOPSIGNAL: whole,
  USER: whole,
  VOLUME: jsonOr(blankSeparated),
  WORKDIR: whole,
}

export const INSTRUCTION_NAMES: readonly string[] = Object.keys(GRAMMARS)

/** An image has some hundreds. What a few bytes each say takes a thousand times as much memory when it is read. */
const MOST_INSTRUCTIONS = 10_000

const WITH_HEREDOCS = new Set(['ADD', 'COPY', 'RUN'])

/**
 * @param name of the file, for errors.
 * @throws CaissonError ERR_CAISSON_DOCKERFILE
 */
export function parseDockerfile(text: string, name?: string): ParsedFile {
  const source = new SourceFile(text, name ?? 'Dockerfile')
  const reader = new LineReader(source)
  const instructions: ParsedInstruction[] = []
  for (let line = reader.next(); line; line = reader.next()) {
    if (instructions.length === MOST_INSTRUCTIONS)
      throw source.locate(
        fault(
          `more than ${MOST_INSTRUCTIONS} instructions`,
          'Put what belongs together into one RUN, or into a script.',
        ),
        line.span(0, line.text.length),
      )
    instructions.push(readInstruction(source, reader, line))
  }
  if (instructions.length === 0) {
    const at = { line: Math.max(reader.line, 1), column: 1 }
    throw source.locate(fault('file with no instructions', 'It begins with FROM.'), { start: at, end: at })
  }
  return { source, escape: reader.escape, instructions }
}

/** Where the whole instruction stands, up to the end of its first line. */
export function spanOf({ line, text }: ParsedInstruction): Span {
  return line.span(text.offset, text.length)
}

function readInstruction(source: SourceFile, reader: LineReader, line: LogicalLine): ParsedInstruction {
  return source.at(line.span(0, line.text.length), () => {
    const instruction = splitInstruction(line, 0, line.text.length, reader.escape)
    const holder = instruction.trigger ?? instruction
    if (WITH_HEREDOCS.has(holder.keyword.text.toUpperCase()) && !holder.json) {
      for (const word of heredocsOf(line.text)) holder.heredocs.push(readHeredoc(word, () => reader.raw()))
      instruction.endLine = reader.line
    }
    return instruction
  })
}

function splitInstruction(
  line: LogicalLine,
  from: number,
  to: number,
  escaper: Escape,
  nested = false,
): ParsedInstruction {
  const { keyword, start, end } = splitKeyword(line.text.slice(0, to), from)
  const { flags, rest } = takeFlags(line.text.slice(0, end), start, escaper)
  const name = keyword.text.toUpperCase()
  // What has no grammar is no instruction; that is said later, with what it may have meant.
  const grammar = nested && name === 'ONBUILD' ? undefined : GRAMMARS[name]
  const parts = rest < end ? grammar?.(line, rest, end, escaper, name) : undefined
  return {
    keyword,
    text: token(line.text, keyword.offset, end),
    flags,
    args: [],
    pairs: [],
    json: false,
    heredocs: [],
    line,
    endLine: line.endLine,
    ...parts,
  }
}

function whole(line: LogicalLine, start: number, end: number): Arguments {
  return { args: [token(line.text, start, end)] }
}

function blankSeparated(line: LogicalLine, start: number, end: number): Arguments {
  return { args: splitBlanks(line.text.slice(0, end), start) }
}

function jsonOr(grammar: Grammar): Grammar {
  return (line, start, end, escaper, keyword) => {
    const args = jsonStrings(line.text, start, end)
    return args ? { args, json: true } : grammar(line, start, end, escaper, keyword)
  }
}

function pairs(line: LogicalLine, start: number, end: number, escaper: Escape, keyword: string): Arguments {
  const text = line.text.slice(0, end)
  const words = splitWords(text, start, escaper)
  const [first] = words
  if (!first) return {}
  if (!first.text.includes('=')) {
    const [key, value] = splitBlanks(text, start, 2)
    if (!key || !value) throw fault(`${keyword} must have two arguments`, `Write ${keyword} name=value.`)
    return { pairs: [{ key, value, assigned: false }] }
  }
  return {
    pairs: words.map((word) => {
      const equals = word.text.indexOf('=')
      if (equals < 0)
        throw fault(
          `Syntax error - can't find = in ${quote(word.text)}. Must be of the form: name=value`,
          'Quote a value that has blanks.',
        )
      const middle = word.offset + equals
      const value = { text: word.text.slice(equals + 1), offset: middle + 1, length: word.length - equals - 1 }
      return { key: token(line.text, word.offset, middle), value, assigned: true }
    }),
  }
}

/** A type, and behind it a command. */
function health(line: LogicalLine, start: number, end: number, escaper: Escape, keyword: string): Arguments {
  const [type, command] = splitBlanks(line.text.slice(0, end), start, 2)
  if (!type || !command) return { args: type ? [type] : [] }
  const { args = [], json = false } = jsonOr(whole)(line, command.offset, end, escaper, keyword)
  return { args: [type, ...args], json }
}

/** One level: ONBUILD ONBUILD is refused later. */
function trigger(line: LogicalLine, start: number, end: number, escaper: Escape): Arguments {
  return { trigger: splitInstruction(line, start, end, escaper, true) }
}
