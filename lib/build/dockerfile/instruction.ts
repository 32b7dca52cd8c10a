/** Instructions with their parts named. Text is as written: variables are expanded when a stage is evaluated. */
import type { HealthConfig } from '../../spec/image.js'
import type { Heredoc } from './heredoc.js'
import type { Pair } from './parser.js'
import type { Place } from './place.js'
import type { Token } from './words.js'

interface Common<Name extends string> {
  name: Name
  place: Place
}

export interface From extends Common<'FROM'> {
  image: Token
  /** In lower case, as which stages are found. */
  stage?: string
  platform?: Token
}

/** A command in either form. In the shell form it is one text. */
export interface CommandLine {
  command: Token[]
  shellForm: boolean
}

export interface Run extends Common<'RUN'>, CommandLine {
  mounts: Token[]
  network: 'default' | 'none' | 'host'
  security: 'sandbox' | 'insecure'
  devices: Token[]
  heredocs: Heredoc[]
}

/** A file written in the Dockerfile itself. */
export interface InlineFile {
  name: string
  content: string
  expand: boolean
}

interface Transfer {
  sources: Token[]
  files: InlineFile[]
  destination: Token
  chown?: Token
  chmod?: Token
  link: boolean
  excludes: Token[]
}

export interface Copy extends Common<'COPY'>, Transfer {
  from?: Token
  parents: boolean
}

export interface Add extends Common<'ADD'>, Transfer {
  checksum?: Token
  keepGitDir?: boolean
  unpack?: boolean
}

export interface Pairs<Name extends 'ENV' | 'LABEL'> extends Common<Name> {
  pairs: Pair[]
}

export interface Arg extends Common<'ARG'> {
  args: Array<{ key: string; value?: Token }>
}

export interface Command<Name extends 'CMD' | 'ENTRYPOINT'> extends Common<Name>, CommandLine {}

/** Instructions with one argument that is a text. */
export interface Single<Name extends 'MAINTAINER' | 'STOPSIGNAL' | 'USER' | 'WORKDIR'> extends Common<Name> {
  value: Token
}

export interface Several<Name extends 'EXPOSE' | 'VOLUME' | 'SHELL'> extends Common<Name> {
  values: Token[]
}

export interface Healthcheck extends Common<'HEALTHCHECK'> {
  health: HealthConfig
}

export interface Onbuild extends Common<'ONBUILD'> {
  /** The instruction to come, as the image keeps it. */
  expression: string
}

/** What a stage consists of. */
export type Instruction =
  | Run
  | Copy
  | Add
  | Pairs<'ENV'>
  | Pairs<'LABEL'>
  | Arg
  | Command<'CMD'>
  | Command<'ENTRYPOINT'>
  | Single<'MAINTAINER'>
  | Single<'STOPSIGNAL'>
  | Single<'USER'>
  | Single<'WORKDIR'>
  | Several<'EXPOSE'>
  | Several<'VOLUME'>
  | Several<'SHELL'>
  | Healthcheck
  | Onbuild

/** A stage of the file: its FROM, and what follows up to the next. */
export interface Stage {
  from: From
  instructions: Instruction[]
}
