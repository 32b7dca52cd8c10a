import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
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

    const stubborn = start('echo ready; exec sleep 60')
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
