// A code runner: takes source text that nobody should trust, and gives back what it did.
import { Image, Pool } from 'caisson'

/** How each language is started; the source is at /code/main. */
const LANGUAGES = {
  python: ['python3', '/code/main'],
  shell: ['sh', '/code/main'],
  perl: ['perl', '/code/main'],
}

/** Containers are prepared ahead, so that a request waits for its program only. */
export async function createRunner({ size = 2 } = {}) {
  const pool = new Pool(await Image.host(), {
    size,
    user: 'nobody',
    workdir: '/tmp',
    limits: { memory: '128m', cpus: 1, pids: 32, disk: '16m' },
  })
  await pool.ready()
  return {
    /** Runs `source`, which reads `input`; resolves with its output and how it ended, whatever it did. */
    async run(language, source, input = '') {
      const command = LANGUAGES[language]
      if (!command) throw new Error(`no such language: ${language}`)
      const options = { timeout: '10s', cpuTimeout: '2s', maxOutput: '64k' }
      const { stdout, stderr, exitCode, reason } = await pool.run(command, {
        ...options,
        files: { '/code/main': source },
        input,
      })
      return { stdout, stderr, exitCode, reason }
    },
    close: () => pool[Symbol.asyncDispose](),
  }
}

if (import.meta.filename === process.argv[1]) {
  const runner = await createRunner()
  console.log(await runner.run('python', 'print(sum(int(x) for x in input().split()))', '1 2 3'))
  console.log(await runner.run('shell', 'cat /etc/shadow; ls /home; id -un'))
  console.log(await runner.run('perl', 'while (1) { fork }'))
  await runner.close()
}
