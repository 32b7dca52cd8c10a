/** Programs that tests run inside containers or load, from their C sources in test/support/programs. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'

/** Compiles NAME.c to a static program, with libraries such as `seccomp`, and gives its bytes. */
export function compileProgram(name: string, ...libraries: string[]): Buffer {
  return compile(name, ['-static', '-s'], libraries)
}

/** A library that a process loads and never lets go. */
export function compileLibrary(name: string): Buffer {
  return compile(name, ['-shared', '-fPIC', '-pthread', '-Wl,-z,nodelete'])
}

function compile(name: string, how: string[], libraries: string[] = []): Buffer {
  const directory = mkdtempSync(path.join(tmpdir(), 'caisson-program-'))
  try {
    const source = path.join(import.meta.dirname, 'programs', `${name}.c`)
    const output = path.join(directory, name)
    const link = libraries.map((library) => `-l${library}`)
    execFileSync('gcc', [...how, '-O2', '-Wall', '-Wextra', '-Werror', '-o', output, source, ...link])
    return readFileSync(output)
  } finally {
    rmSync(directory, { recursive: true })
  }
}
