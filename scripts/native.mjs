// Builds the addon's core with sanitizers and runs its test programs, under valgrind too, and its fuzzers for a while.
//   node scripts/native.mjs [--long] [address|thread|valgrind|fuzz|musl]...
import { spawnSync } from 'node:child_process'
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

/** Its output, when it is not as it should be. */
function attempt(file, args, { timeout = 240_000, ...options } = {}) {
  const { status, signal, error, stdout, stderr } = spawnSync(file, args, {
    encoding: 'utf8',
    timeout,
    killSignal: 'SIGKILL',
    maxBuffer: 1 << 28,
    ...options,
  })
  if (status === 0) return undefined
  const words = `${stdout ?? ''}${stderr ?? ''}`.split('\n').slice(-120).join('\n')
  return `${path.basename(file)} ${args.join(' ')}: ${error?.message ?? signal ?? `exit code ${status}`}\n${words}`
}

function must(...attempted) {
  const problem = attempt(...attempted)
  if (problem) throw new Error(problem)
}

function build(name, definitions) {
  const directory = path.join(work, name)
  mkdirSync(directory, { recursive: true })
  const options = ['-DCMAKE_BUILD_TYPE=RelWithDebInfo', ...definitions]
  must('cmake', ['-S', path.join(root, 'addon'), '-B', directory, ...options])
  must('cmake', ['--build', directory, '--target', ...TARGETS[name], '-j', String(cpus().length)], { timeout: 600_000 })
  return directory
}

const PROGRAMS = ['pieces', 'archives', 'inventory', 'containers']
const FUZZERS = ['fuzz-decode', 'fuzz-layer', 'fuzz-plan']
const TARGETS = {
  address: PROGRAMS,
  thread: PROGRAMS,
  plain: ['pieces', 'archives'],
  fuzz: FUZZERS,
  musl: ['caisson-core'],
}

/** Memory that moves about confuses the older sanitizers; it is kept in place. */
const STILL = ['-R']

/** Runs `use` with a directory in memory that is gone afterwards. */
function inScratch(use) {
  const base = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()
  const scratch = mkdtempSync(path.join(base, 'caisson-native-'))
  try {
    return use(scratch)
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
}

function argumentsOf(program, scratch, { rounds, threads }) {
  return program === 'pieces' ? [] : [scratch, String(rounds), String(threads)]
}

/** The programs as they are built in `directory`; of a sanitizer every report is a failure. */
function sanitized(name, sanitize, load, long) {
  need('cmake', 'g++', 'setarch')
  const directory = build(name, ['-DCAISSON_TESTS=ON', `-DCAISSON_SANITIZE=${sanitize}`])
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
      inScratch((scratch) => {
        const args = argumentsOf(program, scratch, { ...load, rounds })
        must('setarch', [...STILL, path.join(directory, 'test', program), ...args], {
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

  /** Debian 12's knows neither clone3 nor openat2: containers and archives are for the sanitizers alone. */
  valgrind: (long) => {
    need('cmake', 'g++', 'valgrind')
    const directory = build('plain', ['-DCAISSON_TESTS=ON', '-DCAISSON_SANITIZE='])
    return ['pieces'].map((program) => ({
      name: `valgrind: ${program}`,
      run: () =>
        inScratch((scratch) => {
          const args = argumentsOf(program, scratch, { rounds: long ? 5 : 1, threads: 2 })
          const log = path.join(scratch, 'valgrind.log')
          const checks = [
            '--error-exitcode=66',
            '--leak-check=full',
            '--errors-for-leak-kinds=definite',
            '--track-fds=yes',
          ]
          must('valgrind', ['-q', `--log-file=${log}`, ...checks, path.join(directory, 'test', program), ...args], {
            timeout: long ? 1_800_000 : 180_000,
            stdio: ['ignore', 'pipe', 'pipe'],
          })
          // What it got from us says so in its second line.
          const open = readFileSync(log, 'utf8').split('Open file descriptor ').slice(1)
          const own = open.filter((text) => !text.includes('inherited from parent') && !text.includes(log))
          if (own.length > 0) throw new Error(`left open:\n${own.join('')}`)
        }),
    }))
  },

  fuzz: (long) => {
    need('cmake', 'clang++')
    const directory = build('fuzz', ['-DCAISSON_FUZZ=ON', '-DCMAKE_C_COMPILER=clang', '-DCMAKE_CXX_COMPILER=clang++'])
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
        must(
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

/** For each of them: its name, whether it passed, failed or was skipped, and why. */
export function nativeChecks(sets = Object.keys(SETS), long = false) {
  const results = []
  const note = (name, work) => {
    const began = Date.now()
    let result
    try {
      result = { status: 'passed', value: work() }
    } catch (error) {
      result = { status: error instanceof Missing ? 'skipped' : 'failed', why: error.message }
    }
    results.push({ name, seconds: (Date.now() - began) / 1000, ...result })
    return results.at(-1)
  }
  for (const set of sets) {
    const built = note(`${set}: build`, () => SETS[set](long))
    if (built.status !== 'passed') continue
    results.pop()
    for (const { name, run } of built.value) note(name, run)
  }
  return results
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const chosen = process.argv.slice(2).filter((word) => word !== '--long')
  const unknown = chosen.find((word) => !(word in SETS))
  if (unknown) {
    console.error(`usage: node scripts/native.mjs [--long] [${Object.keys(SETS).join('|')}]...`)
    process.exit(2)
  }
  const results = nativeChecks(chosen.length > 0 ? chosen : undefined, process.argv.includes('--long'))
  for (const { name, status, seconds, why } of results)
    console.log(`${status}: ${name} (${seconds.toFixed(0)} s)${why ? `\n${why}` : ''}`)
  process.exit(results.some(({ status }) => status === 'failed') ? 1 : 0)
}
