// Builds, against docker and podman: cold, cached, and with one file changed. Everything lies on a tmpfs.
import { execFileSync } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { Image } from 'caisson'
import { commandTimer, interleave, median, root, timed } from '../lib/measure.mjs'
import { has, podmanCommand, startDocker } from '../lib/peers.mjs'
import { compare, figure, note, section } from '../lib/report.mjs'
import { rootfsArchive } from '../lib/stack.mjs'

export const title = 'Builds'

const FILES = 7000

/** Eight steps that make something; the number is in the first, so that nothing of it is in a cache. */
const dockerfile = (number) => `FROM bench-box
ENV NUMBER=${number}
WORKDIR /app
RUN echo ${number} > /first
COPY d0 d0
RUN echo 2 > /second
RUN echo 3 > /third
COPY d1 d1
RUN echo 4 > /fourth
COPY . .
CMD ["/bin/sh"]
`

function makeContext(directory) {
  const context = path.join(directory, 'build-context')
  for (let d = 0; d < FILES / 100; d++) {
    mkdirSync(path.join(context, `d${d}`), { recursive: true })
    for (let i = 0; i < 100; i++)
      writeFileSync(path.join(context, `d${d}`, `file-${i}.js`), `exports.value = ${d * 100 + i}\n`.repeat(20 + i))
  }
  return context
}

export async function bench({ directory, rootfs, rounds }) {
  section(title)
  const few = Math.max(3, Math.ceil(rounds / 12))
  const timer = commandTimer()
  const context = makeContext(directory)
  const archive = rootfsArchive(rootfs, directory)
  await (await Image.fromRootfs(archive)).tag('bench-box')
  const ours = [
    process.execPath,
    path.join(root, 'dist/cli.cjs'),
    'build',
    '-q',
    '--network',
    'none',
    '-t',
    'out',
    context,
  ]
  try {
    const docker = await startDocker(directory)
    if (docker) {
      execFileSync(docker.command[0], [...docker.command.slice(1), 'import', archive, 'bench-box'], { stdio: 'ignore' })
      process.env.DOCKER_BUILDKIT = '0'
      const words = [...docker.command, 'build', '-q', '--network', 'none', '-t', 'out', context]
      try {
        await against('docker build', timer, few, context, ours, words, [0.25, 0.12, 0.2])
      } finally {
        await docker.stop()
      }
    } else note('dockerd: not here')
    if (has('podman')) {
      const podman = podmanCommand(directory, 'podman-build')
      podman.push('--cgroup-manager', 'cgroupfs', '--runtime', 'runc', '--events-backend', 'none')
      execFileSync(podman[0], [...podman.slice(1), 'import', archive, 'bench-box'], { stdio: 'ignore' })
      const words = [...podman, 'build', '-q', '--layers', '--network', 'none', '--ulimit', 'nofile=1024:1024']
      words.push('--ulimit', 'nproc=1024:1024', '-t', 'out', context)
      await against('podman build', timer, few, context, ours, words, [0.33, 0.1])
    } else note('podman: not here')
    await inside(few, context)
    await parallel(few)
  } finally {
    timer.close()
    rmSync(context, { recursive: true, force: true })
  }
}

let number = 0

async function against(name, timer, few, context, ours, theirs, [cold, cached, changed]) {
  const file = path.join(context, 'Dockerfile')
  const fresh = (words) => () => {
    writeFileSync(file, dockerfile(number++))
    return timer.run(words)
  }
  const run = async (what, first, bound, rounds) => {
    const samples = await interleave({ ours: first(ours), theirs: first(theirs) }, { rounds, warmup: 1 })
    compare(`${what}, against ${name}`, samples.ours, samples.theirs, bound)
  }
  await run(`cold build, 8 steps, ${FILES} files`, fresh, cold, few)
  await run('  the same fully cached', (words) => () => timer.run(words), cached, few * 3)
  if (changed === undefined) return
  const change = (words) => () => {
    writeFileSync(path.join(context, 'd5/file-5.js'), `// ${number++}\n`)
    return timer.run(words)
  }
  await run('  one file changed, last step only', change, changed, few)
}

/** Without the start of a process. */
async function inside(few, context) {
  writeFileSync(path.join(context, 'Dockerfile'), dockerfile(number++))
  const samples = await interleave(
    { ours: () => timed(() => Image.build({ context, network: 'none', tag: 'out' })) },
    { rounds: few * 2, warmup: 3 },
  )
  figure('fully cached, Image.build in a process that runs', median(samples.ours), 'ms')
}

async function parallel(few) {
  const stage = (name, n) => `FROM bench-box AS ${name}\nRUN sleep 2 && echo ${n} > /${name}\n`
  const build = (names) => () => {
    const stages = names.map((name) => stage(name, number++)).join('')
    const copies = names.map((name) => `COPY --from=${name} /${name} /\n`).join('')
    const text = `${stages}FROM bench-box\n${copies}`
    return timed(() => Image.build({ dockerfile: { text }, network: 'none', noCache: true }))
  }
  const samples = await interleave(
    { one: build(['one']), three: build(['one', 'two', 'three']) },
    { rounds: Math.min(few, 3), warmup: 0 },
  )
  figure('three independent stages of 2 s, against one', median(samples.three) / median(samples.one), '', 1.2)
}
