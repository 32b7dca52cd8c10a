// An owner with descriptors that are not closed on execution (programs/leaks.c), and what its containers get of them.
//   leaky.mjs LIBRARY [ROOT]      LOOK: a look at its descriptors, OTHERS: and at those of others, as Python programs
//   With ROOT, a directory with a shell: what comes of working directories among descriptors.
import { spawnSync } from 'node:child_process'
import { Container, Image, Pool, run } from 'caisson'

const [library, root] = process.argv.slice(2)
try {
  // It is no addon, which Node says when it has been loaded.
  process.dlopen({ exports: {} }, library)
} catch (error) {
  if (!/self-register/.test(error.message)) throw error
}
const said = root === undefined ? await looks() : await climbs()
console.log(JSON.stringify(said))
process.exit(0)

async function looks() {
  const look = ['python3', '-c', process.env.LOOK]
  const image = await Image.host()
  const container = await Container.create(image, { command: ['sleep', '1000'] })
  await container.start()
  const pool = new Pool(image, { size: 2 })
  const results = await Promise.all(
    Array.from({ length: 12 }, () => [
      run(image, look),
      run(image, look, { init: true }),
      container.exec(look),
      pool.run(look),
    ]).flat(),
  )
  await pool[Symbol.asyncDispose]()
  await container.remove({ force: true })
  const others = await run(image, ['python3', '-c', process.env.OTHERS], { init: true })
  return {
    inside: results.map(({ stdout, stderr }) => stdout + stderr),
    others: others.stdout + others.stderr,
    child: spawnSync(look[0], look.slice(1), { encoding: 'utf8' }).stdout,
  }
}

async function climbs() {
  const climb = ['/bin/sh', '-c', 'pwd -P']
  const container = await Container.create(await Image.fromRootfs(root), { command: ['/bin/sleep', '1000'] })
  await container.start()
  const said = {}
  for (let fd = 0; fd < 40; fd++)
    for (const workdir of [`/proc/self/fd/${fd}`, `/proc/1/fd/${fd}/etc`]) {
      const image = await Image.fromRootfs(root, { WorkingDir: workdir })
      for (const attempt of [
        () => run(image, climb),
        () => run(image, climb, { workdir }),
        () => container.exec(climb, { workdir }),
      ]) {
        const how = await attempt().then(
          ({ stdout }) => stdout,
          ({ code }) => code,
        )
        said[how] = (said[how] ?? 0) + 1
      }
    }
  await container.remove({ force: true })
  return said
}
