#!/usr/bin/env sh
/**
 * Starts the command line, which is one bundled script beside this one. To compile it takes longer than most commands do,
 * so what V8 made of it is kept, one file for each command, and taken the next time.
 */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { Script } from 'node:vm'
import { KeptCode } from './kept-code.js'

/** The digest of the script, known when the package is built. */
declare const CAISSON_PROGRAM: string

const directory = path.dirname(fileURLToPath(import.meta.url))
const file = path.join(directory, 'program.cjs')
// It is a function of `require` and `__filename`, and nothing but ASCII: one byte for each character is what V8 reads fastest.
const source = readFileSync(file, 'latin1')
const command = (process.argv[2] ?? 'help').replace(/^--/, '')
const kept = new KeptCode(path.dirname(directory), command, `${CAISSON_PROGRAM} ${process.version} ${process.arch}`)
const script = new Script(source, {
  filename: file,
  cachedData: kept.read(),
})
// At the end, since what was called until then was compiled by then.
if (script.cachedDataRejected !== false)
  process.on('exit', (code) => {
    if (code === 0) kept.write(() => script.createCachedData())
  })
script.runInThisContext()(createRequire(file), file)
