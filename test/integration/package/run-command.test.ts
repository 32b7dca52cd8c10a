import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { CLI, caisson } from '../../support/command.js'
import { findProgram, isRoot, testIf } from '../../support/needs.js'

const asRoot = testIf(!isRoot && 'only root may')
const inTerminal = testIf((!isRoot && 'only root may') || (!findProgram('script') && 'script, of util-linux'))

describe('caisson run', () => {
  asRoot('passes output and the exit code on', async () => {
    expect(caisson(['run', 'host', 'sh', '-c', 'echo out; echo err >&2; exit 3'])).toEqual({
      status: 3,
      stdout: 'out\n',
      stderr: 'err\n',
    })
  })

  asRoot('runs the image’s own command', async () => {
    expect(caisson(['run', '-i', 'host'], { input: 'echo from sh' })).toMatchObject({ status: 0, stdout: 'from sh\n' })
  })

  asRoot('passes its input on only when asked', async () => {
    expect(caisson(['run', '-i', 'host', 'cat'], { input: 'text\u0000\n' })).toMatchObject({ stdout: 'text\u0000\n' })
    expect(caisson(['run', 'host', 'cat'], { input: 'text' })).toEqual({ status: 0, stdout: '', stderr: '' })
  })

  asRoot('passes large and binary data', async () => {
    const script = 'head -c 5000000 /dev/urandom | tee /dev/stderr | sha256sum >/tmp/sum; cat /tmp/sum'
    const child = spawnSync(process.execPath, [CLI, 'run', 'host', 'sh', '-c', script], { maxBuffer: 1e8 })
    const sum = execFileSync('sha256sum', { input: child.stderr }).toString()
    expect(child.stdout.toString()).toBe(sum)
  })

  asRoot('shows and passes on what --attach names', async () => {
    const script = 'echo out; echo err >&2; cat; exit 4'
    const attached = (...flags: string[]) => caisson(['run', ...flags, 'host', 'sh', '-c', script], { input: 'in\n' })
    expect(attached('-a', 'stdout')).toEqual({ status: 4, stdout: 'out\n', stderr: '' })
    expect(attached('-i', '-a', 'STDERR')).toEqual({ status: 4, stdout: '', stderr: 'err\n' })
    expect(attached('-a', 'stdin', '-i', '--attach', 'stdout')).toEqual({ status: 4, stdout: 'out\nin\n', stderr: '' })
    expect(attached('-a', 'stdin')).toEqual({ status: 4, stdout: '', stderr: '' })
    expect(attached('-a', 'output')).toMatchObject({ status: 125, stderr: expect.stringContaining('--attach') })
    // More than is kept of one that nobody reads.
    const much = ['run', '-a', 'stderr', 'host', 'sh', '-c', 'head -c 80000000 /dev/zero; echo done >&2']
    expect(caisson(much)).toEqual({ status: 0, stdout: '', stderr: 'done\n' })
    expect(caisson(['run', '-a', 'stdout', 'host', 'nonexistent'])).toMatchObject({
      status: 127,
      stderr: expect.stringContaining('not found'),
    })
  })

  asRoot('writes the id into a file of its own', async () => {
    const directory = mkdtempSync(path.join(tmpdir(), 'caisson-cli-'))
    const file = path.join(directory, 'id')
    try {
      const { status, stdout } = caisson(['run', '--cidfile', file, 'host', 'hostname'])
      const id = readFileSync(file, 'utf8')
      expect([status, stdout]).toEqual([0, `${id.slice(0, 12)}\n`])
      expect(id).toMatch(/^[0-9a-f]{64}$/)
      const again = caisson(['run', '--cidfile', file, 'host', 'echo', 'never'])
      expect(again).toEqual({ status: 125, stdout: '', stderr: expect.stringContaining('is there already') })
      expect(readFileSync(file, 'utf8')).toBe(id)
      const other = path.join(directory, 'other')
      expect(caisson(['run', '--cidfile', other, 'nonexistent-image']).status).toBe(125)
      expect(existsSync(other)).toBe(false)
      expect(caisson(['run', '--cidfile', other, 'host', 'nonexistent']).status).toBe(127)
      expect(readFileSync(other, 'utf8')).toMatch(/^[0-9a-f]{64}$/)
    } finally {
      rmSync(directory, { recursive: true })
    }
  })

  asRoot('asks for the health of its container, and tells it', async () => {
    const check = 'for i in 1 2 3; do [ -e /tmp/$i ] || { touch /tmp/$i; [ $i = 1 ]; exit; }; done; exit 1'
    const script = 'until [ -e /tmp/3 ]; do sleep 0.01; done; echo over'
    const flags = ['--health-cmd', check, '--health-interval', '20ms', '--health-retries', '1', '--timeout', '20']
    const { status, stdout, stderr } = caisson(['run', ...flags, 'host', 'sh', '-c', script])
    const told = ['healthy', 'unhealthy'].map((health) => `caisson: it is ${health}, says --health-cmd\n`).join('')
    expect({ status, stdout, stderr }).toEqual({ status: 0, stdout: 'over\n', stderr: told })
  })

  test('says of flags of docker that are not there what to do', () => {
    const { status, stdout, stderr } = caisson(['run', '--link', 'web:db', 'host', 'true'])
    expect({ status, stdout }).toEqual({ status: 125, stdout: '' })
    expect(stderr).toMatch(/^caisson: --link is not there\nhint: Put both on one network with --network/)
  })

  test('is not told by a file of variables for a container what Node shall do', () => {
    const directory = mkdtempSync(path.join(tmpdir(), 'caisson-cli-'))
    try {
      const [file, code] = ['env', 'code.cjs'].map((name) => path.join(directory, name)) as [string, string]
      writeFileSync(code, 'console.log("executed on the host")')
      writeFileSync(file, `NODE_OPTIONS=--require=${code}\n`)
      // As npm's link starts it.
      const started = (...args: string[]) => spawnSync('/bin/sh', [CLI, ...args], { encoding: 'utf8' })
      expect(started('run', '--env-file', file, '--help')).toMatchObject({
        status: 0,
        stdout: expect.stringMatching(/^Usage: caisson run/),
      })
      expect(started('run', '--env-file', path.join(directory, 'none'), 'host')).toMatchObject({
        status: 125,
        stderr: expect.stringMatching(/^caisson: --env-file: ENOENT/),
      })
    } finally {
      rmSync(directory, { recursive: true })
    }
  })

  asRoot('exits as docker does', async () => {
    expect(caisson(['run', 'host', 'nonexistent'])).toEqual({
      status: 127,
      stdout: '',
      stderr: 'caisson: nonexistent: not found\n',
    })
    expect(caisson(['run', 'host', '/etc'])).toMatchObject({
      status: 126,
      stderr: 'caisson: /etc: cannot be executed\n',
    })
    expect(caisson(['run', '--init', 'host', 'sh', '-c', 'kill -TERM $$'])).toMatchObject({ status: 143 })
    expect(caisson(['run', 'nonexistent-image'])).toMatchObject({
      status: 125,
      stderr: expect.stringMatching(/^caisson: .*\nhint: .*\n$/),
    })
    expect(caisson(['run', '--cpus', '0', 'host', 'true'])).toMatchObject({ status: 125 })
    expect(caisson(['run'])).toMatchObject({ status: 125, stderr: expect.stringContaining('no image') })
  })

  asRoot('carries its flags into the container', async () => {
    const directory = mkdtempSync(path.join(tmpdir(), 'caisson-cli-'))
    try {
      chmodSync(directory, 0o755)
      writeFileSync(path.join(directory, 'file'), 'bound')
      const script = `echo $A $HERE; hostname; pwd; id -u; ulimit -n; cat /data/file; grep extra /etc/hosts
        cat /proc/sys/net/core/somaxconn; touch /nope 2>/dev/null || echo read-only; df -k /big | tail -1 | tr -s ' ' | cut -d' ' -f2; stat -c '%a %u' /big`
      const { status, stdout, stderr } = caisson(
        [
          ...['run', '-e', 'A=1', '-e', 'HERE', '-h', 'box', '-w', '/srv', '-u', '65534', '--ulimit', 'nofile=99'],
          ...['-v', `${directory}:/data:ro`, '--add-host', 'extra:10.0.0.1', '--sysctl', 'net.core.somaxconn=77'],
          ...[
            '--read-only',
            '--tmpfs',
            '/big:size=1m,mode=0700,uid=65534',
            '--memory=128m',
            '--pids-limit',
            '50',
            '--rm',
            'host',
          ],
          ...['sh', '-c', script],
        ],
        { env: { HERE: 'here' } },
      )
      expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
      expect(stdout.split('\n')).toEqual([
        ...['1 here', 'box', '/srv', '65534', '99', 'bound10.0.0.1\textra', '77', 'read-only', '1024', '700 65534', ''],
      ])
    } finally {
      rmSync(directory, { recursive: true })
    }
  })

  asRoot('gives a user namespace by name', async () => {
    const { stdout } = caisson(['run', '--userns', 'private', 'host', 'cat', '/proc/self/uid_map'])
    expect(stdout.trim().split(/\s+/)[1]).not.toBe('0')
  })

  asRoot('ends a program that takes too long', async () => {
    const { status, stderr } = caisson(['run', '--timeout', '0.3', 'host', 'sleep', '60'])
    expect({ status, stderr }).toEqual({ status: 137, stderr: 'caisson: ended, as --timeout has passed\n' })
  })

  asRoot('passes signals on, and ends at the third at the latest', async () => {
    const polite = start('trap "echo asked; exit 9" TERM; echo ready; while :; do sleep 0.05; done')
    await polite.printed('ready')
    polite.child.kill('SIGTERM')
    expect(await polite.ended).toMatchObject({ status: 9, stdout: 'ready\nasked\n' })

    // A shell that has not come to its exec yet would hear the first, and end with 130.
    const stubborn = start('trap "" INT; echo ready; exec sleep 60')
    await stubborn.printed('ready')
    for (let i = 0; i < 3; i++) {
      stubborn.child.kill('SIGINT')
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
    expect(await stubborn.ended).toMatchObject({ status: 137 })
  })

  asRoot('lets the program know that nobody reads any more', async () => {
    const reader = spawnSync('sh', ['-c', `${process.execPath} ${CLI} run host yes | head -1`], { encoding: 'utf8' })
    expect(reader.stdout).toBe('y\n')
  })

  asRoot('does not take a pipe for a terminal', async () => {
    expect(caisson(['run', '-it', 'host', 'true'], { input: '' })).toMatchObject({
      status: 125,
      stderr: expect.stringContaining('not a terminal'),
    })
    expect(caisson(['run', '-t', 'host', 'tty'])).toMatchObject({ status: 0, stdout: '/dev/pts/0\r\n' })
  })

  inTerminal('lends its terminal, and gives it back', async () => {
    // The size is changed while the program runs; `stty -g` tells whether all is as before.
    const line = `stty rows 33 cols 99; stty -g; ${process.execPath} ${CLI} run -it host sh -c 'tty; stty size; read x; echo "[$x]"; stty size; exit 7'; echo code $?; stty -g`
    const child = spawn('script', ['-qec', line, '/dev/null'])
    let text = ''
    child.stdout.on('data', (chunk) => {
      text += chunk
    })
    while (!text.includes('33 99')) await new Promise((resolve) => setTimeout(resolve, 20))
    child.stdin.write('typed\r')
    await new Promise((resolve) => child.once('close', resolve))
    // Node's raw mode goes on to put a CR before each LF.
    const lines = text.split(/\r*\n/).filter((each) => each !== '')
    expect(lines.slice(1, -1)).toEqual(['/dev/pts/0', '33 99', 'typed', '[typed]', '33 99', 'code 7'])
    expect(lines.at(-1)).toBe(lines[0])
  })
})

interface Started {
  child: ChildProcess
  printed(text: string): Promise<void>
  ended: Promise<{ status: number | null; stdout: string }>
}

function start(script: string): Started {
  const child = spawn(process.execPath, [CLI, 'run', 'host', 'sh', '-c', script])
  let stdout = ''
  child.stdout.on('data', (chunk) => {
    stdout += chunk
  })
  return {
    child,
    async printed(text) {
      while (!stdout.includes(text)) await new Promise((resolve) => setTimeout(resolve, 10))
    },
    ended: new Promise((resolve) => {
      child.once('close', (status) => resolve({ status, stdout }))
    }),
  }
}
