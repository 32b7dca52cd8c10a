// Builds the addon's core with sanitizers and runs its test programs, under valgrind too, and its fuzzers for a while.
//   node scripts/native.mjs [--long] [address|thread|valgrind|fuzz|musl]...
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

const root = path.resolve(import.meta.dirname, '..')
const work = path.join(root, '.cache/native')
const isRoot = process.getuid() === 0

/** A reason why something cannot run here. */
class Missing extends Error {}

function need(...programs) {
  const places = ['/usr/local/bin', '/usr/bin', '/bin']
  for (const program of programs)
    if (!places.some((place) => existsSync(path.join(place, program)))) throw new Missing(`no ${program}`)
}

/** Throws with its output when it is not as it should be. */
async function must(file, args, { timeout = 240_000, ...options } = {}) {
  const stdio = ['ignore', 'pipe', 'pipe']
  const child = spawn(file, args, { timeout, killSignal: 'SIGKILL', stdio, ...options })
  let said = ''
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (said += text))
  const how = await new Promise((resolve) => {
    child.on('error', (error) => resolve(error.message))
    child.on('close', (status, signal) => resolve(signal ?? (status === 0 ? '' : `exit code ${status}`)))
  })
  if (how === '') return
  throw new Error(`${path.basename(file)} ${args.join(' ')}: ${how}\n${said.split('\n').slice(-120).join('\n')}`)
}

async function build(name, definitions) {
  const directory = path.join(work, name)
  mkdirSync(directory, { recursive: true })
  const options = ['-DCMAKE_BUILD_TYPE=RelWithDebInfo', ...definitions]
  await must('cmake', ['-S', path.join(root, 'addon'), '-B', directory, ...options])
  await must('cmake', ['--build', directory, '--target', ...TARGETS[name], '-j', String(cpus().length)], {
    timeout: 600_000,
  })
  return directory
}

const PROGRAMS = ['pieces', 'archives', 'inventory', 'containers']
const FUZZERS = ['fuzz-decode', 'fuzz-layer', 'fuzz-plan']
const TARGETS = {
  address: PROGRAMS,
  thread: PROGRAMS,
  fuzz: FUZZERS,
  musl: ['caisson-core'],
}

/** Memory that moves about confuses the older sanitizers; it is kept in place. */
const STILL = ['-R']

/** Runs `use` with a directory in memory that is gone afterwards. */
async function inScratch(use) {
  const base = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()
  const scratch = mkdtempSync(path.join(base, 'caisson-native-'))
  try {
    return await use(scratch)
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
}

function argumentsOf(program, scratch, { rounds, threads }) {
  return program === 'pieces' ? [] : [scratch, String(rounds), String(threads)]
}

/** The programs as they are built in `directory`; of a sanitizer every report is a failure. */
async function sanitized(name, sanitize, load, long) {
  need('cmake', 'g++', 'setarch')
  const directory = await build(name, [
    '-DCAISSON_TESTS=ON',
    '-DCAISSON_PRECOMPILE=ON',
    `-DCAISSON_SANITIZE=${sanitize}`,
  ])
  const env = {
    ...process.env,
    ASAN_OPTIONS: 'detect_leaks=1:detect_stack_use_after_return=1:abort_on_error=0:exitcode=66',
    UBSAN_OPTIONS: 'print_stacktrace=1',
    TSAN_OPTIONS: 'exitcode=66',
  }
  return PROGRAMS.map((program) => ({
    name: `${name}: ${program}`,
    run: () => {
      if (program === 'containers' && !isRoot) throw new Missing('only root can start them without a user namespace')
      const rounds = long ? load.rounds * 10 : load.rounds
      return inScratch((scratch) => {
        const args = argumentsOf(program, scratch, { ...load, rounds })
        return must('setarch', [...STILL, path.join(directory, 'test', program), ...args], {
          env,
          timeout: long ? 1_800_000 : 180_000,
        })
      })
    },
  }))
}

const SETS = {
  address: (long) => sanitized('address', 'address,undefined', { rounds: 4, threads: 3 }, long),
  thread: (long) => sanitized('thread', 'thread', { rounds: 8, threads: 4 }, long),

  /**
   * With the core as it is in the addon. Debian 12's knows neither clone3 nor openat2: containers and archives are for the
   * sanitizers alone.
   */
  valgrind: async (long) => {
    need('g++', 'valgrind')
    const core = path.join(root, 'addon/build/libcaisson-core.a')
    if (!existsSync(core)) throw new Missing('no addon: npm run build:addon')
    const program = path.join(work, 'pieces')
    mkdirSync(work, { recursive: true })
    const sources = ['-I', path.join(root, 'addon'), path.join(root, 'addon/test/pieces.cc'), core]
    await must('g++', ['-std=gnu++20', '-O1', '-g', ...sources, '-pthread', '-lz', '-lzstd', '-o', program])
    const check = {
      name: 'valgrind: pieces',
      run: () =>
        inScratch(async (scratch) => {
          const log = path.join(scratch, 'valgrind.log')
          const checks = [
            '--error-exitcode=66',
            '--leak-check=full',
            '--errors-for-leak-kinds=definite',
            '--track-fds=yes',
          ]
          await must('valgrind', ['-q', `--log-file=${log}`, ...checks, program], {
            timeout: long ? 1_800_000 : 180_000,
          })
          // What it got from us says so in its second line.
          const open = readFileSync(log, 'utf8').split('Open file descriptor ').slice(1)
          const own = open.filter((text) => !text.includes('inherited from parent') && !text.includes(log))
          if (own.length > 0) throw new Error(`left open:\n${own.join('')}`)
        }),
    }
    return [check]
  },

  fuzz: async (long) => {
    need('cmake', 'clang++')
    const directory = await build('fuzz', [
      '-DCAISSON_FUZZ=ON',
      '-DCMAKE_C_COMPILER=clang',
      '-DCMAKE_CXX_COMPILER=clang++',
    ])
    return FUZZERS.map((fuzzer) => ({
      name: fuzzer,
      run: () => {
        // What earlier runs have found worth trying is kept; seeds are in the sources.
        const corpus = path.join(work, 'corpus', fuzzer)
        const seeds = path.join(root, 'addon/fuzz/seeds', fuzzer)
        mkdirSync(corpus, { recursive: true })
        const limits = [`-max_total_time=${long ? 600 : 15}`, '-timeout=20', '-rss_limit_mb=2048', '-max_len=16384']
        const places = [corpus, ...(existsSync(seeds) ? [seeds] : [])]
        const artifacts = path.join(work, `${fuzzer}-`)
        return must(
          'setarch',
          [...STILL, path.join(directory, 'fuzz', fuzzer), ...limits, `-artifact_prefix=${artifacts}`, ...places],
          {
            timeout: long ? 900_000 : 120_000,
          },
        )
      },
    }))
  },

  /** Debian has no C++ library for musl, so it is compiled and never linked. */
  musl: () => {
    need('cmake', 'clang++')
    const headers = `/usr/include/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-musl`
    if (!existsSync(headers)) throw new Missing(`no ${headers}`)
    const toolchain = path.join(root, 'addon/test/musl.cmake')
    return [
      {
        name: 'musl: compiles',
        run: () => build('musl', [`-DCMAKE_TOOLCHAIN_FILE=${toolchain}`, '-DCMAKE_BUILD_TYPE=Debug']),
      },
    ]
  },
}

/**
 * For each of them: its name, whether it passed, failed or was skipped, and why. Building takes all processors, most
 * programs only one: they are run when all is built, as many at a time as there are processors.
 */
export async function nativeChecks(sets = Object.keys(SETS), long = false) {
  const results = []
  const note = async (name, work) => {
    const began = Date.now()
    let result
    try {
      result = { status: 'passed', value: await work() }
    } catch (error) {
      result = { status: error instanceof Missing ? 'skipped' : 'failed', why: error.message }
    }
    results.push({ name, seconds: (Date.now() - began) / 1000, ...result })
    return results.at(-1)
  }
  const programs = []
  for (const set of sets) {
    const built = await note(`${set}: build`, () => SETS[set](long))
    if (built.status !== 'passed') continue
    results.pop()
    programs.push(...built.value)
  }
  const lane = async () => {
    for (let next = programs.shift(); next; next = programs.shift()) await note(next.name, next.run)
  }
  await Promise.all(cpus().map(lane))
  return results
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const chosen = process.argv.slice(2).filter((word) => word !== '--long')
  const unknown = chosen.find((word) => !(word in SETS))
  if (unknown) {
    console.error(`usage: node scripts/native.mjs [--long] [${Object.keys(SETS).join('|')}]...`)
    process.exit(2)
  }
  const results = await nativeChecks(chosen.length > 0 ? chosen : undefined, process.argv.includes('--long'))
  for (const { name, status, seconds, why } of results)
    console.log(`${status}: ${name} (${seconds.toFixed(0)} s)${why ? `\n${why}` : ''}`)
  process.exit(results.some(({ status }) => status === 'failed') ? 1 : 0)
}
