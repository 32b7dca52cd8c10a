// npm run demo: programs that nobody should trust, each in a container of its own, on the programs of this machine.
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Image, run } from 'caisson'
import { withRegistry } from './registry.mjs'

const image = await Image.host()
const limits = { memory: '64m', pids: 32, cpus: 1, disk: '8m' }

/** Runs one program, and says in a line what became of it. */
async function show(what, command, { from = image, ...options } = {}) {
  const result = await run(from, command, { limits, timeout: '5s', ...options })
  const ended =
    result.reason === 'exit' ? `exit ${result.exitCode}` : result.reason === 'signal' ? result.signal : result.reason
  const { memoryPeakBytes, pidsPeak } = result.usage
  const usage = `${result.durationMs.toFixed(0)} ms, ${(memoryPeakBytes / 1e6).toFixed(1)} MB, ${pidsPeak ?? '?'} processes`
  console.log(`\n${what}\n  ended by ${ended} (${usage})`)
  const lines = `${result.stdout}${result.stderr}`.trim().split('\n').filter(Boolean)
  for (const line of lines.slice(0, 4)) console.log(`  | ${line.slice(0, 110)}`)
  return result
}

await show('A greeting, from process 1 of a machine of its own', [
  'sh',
  '-c',
  'echo "hello from $(hostname), process $$, as $(id -un)"',
])

await show('A look around: none of this machine is there', [
  'sh',
  '-c',
  'ls -A /root /home /var/log | paste -sd" "; ls /proc | grep -c "^[0-9]" | sed "s/$/ processes in sight/"; wc -l < /proc/net/route | sed "s/$/ line of routes: the heading/"',
])

await show('A program that never ends, against the clock', ['sleep', '1000'], { timeout: '300ms' })

await show('One that only computes, against CPU time', ['sh', '-c', 'while :; do :; done'], { cpuTimeout: '300ms' })

await show('One that eats memory', ['sh', '-c', 'x=x; while :; do x=$x$x; done'])

await show('A fork bomb', ['sh', '-c', 'bomb() { bomb | bomb & }; bomb 2>/dev/null; sleep 2; echo survived'], {
  timeout: '1s',
})

await show('One that prints without end', ['yes'], { maxOutput: '100k' })

await show('One that fills the disk', ['sh', '-c', 'head -c 100m /dev/zero > /big; ls -lh /big | cut -d" " -f5'])

await show('One that wants the network', [
  'sh',
  '-c',
  '(exec 3<>/dev/tcp/192.0.2.1/80) 2>&1 || cat /proc/net/dev | tail -n +3 | cut -d: -f1',
])

await show('One that wants the kernel', [
  'sh',
  '-c',
  'echo 1 > /proc/sys/kernel/panic; mount -t tmpfs none /mnt; echo b > /proc/sysrq-trigger',
])

if (existsSync('/usr/bin/python3')) {
  const code = 'import sys; print(sorted(map(int, sys.stdin.read().split())))'
  await show('And an honest one', ['python3', '-c', code], { input: '3 1 2' })
}

await withRegistry(async (host) => {
  const name = `${host}/demo/busybox:1`
  await pushBusybox(name)
  await show(`An image that is pulled from a registry: ${name}`, ['sh', '-c', 'cat /etc/motd; busybox | head -1'], {
    from: name,
    pull: 'always',
  })
  await (await Image.get(name)).remove({ force: true })
})

const began = performance.now()
for (let i = 0; i < 100; i++) await run(image, ['true'])
console.log(`\n100 containers, one after the other: ${((performance.now() - began) / 100).toFixed(1)} ms each`)

/** A root file system of one program becomes an image, and goes to the registry. */
async function pushBusybox(name) {
  const directory = mkdtempSync(path.join(tmpdir(), 'caisson-demo-'))
  try {
    for (const part of ['bin', 'etc']) mkdirSync(path.join(directory, part))
    for (const program of ['busybox', 'sh', 'cat', 'head'])
      copyFileSync('/bin/busybox', path.join(directory, 'bin', program))
    writeFileSync(path.join(directory, 'etc/motd'), 'pulled, verified, unpacked and run\n')
    const image = await Image.fromRootfs(directory, { Cmd: ['/bin/sh'] })
    await image.tag(name)
    await image.push(name)
    await (await Image.get(name)).remove({ force: true })
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}
