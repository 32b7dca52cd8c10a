// npm run bench [-- SECTION...]: measures caisson against its peers on this machine, interleaved, and prints ratios.
import { mkdtempSync, rmSync } from 'node:fs'
import { cpus, release } from 'node:os'
import path from 'node:path'
import { makeRootfs, version } from './lib/peers.mjs'
import { note, summary } from './lib/report.mjs'

const SECTIONS = ['start', 'ordinary', 'engines', 'network', 'inside', 'images', 'build']
const { values, positionals } = (await import('node:util')).parseArgs({
  allowPositionals: true,
  options: { rounds: { type: 'string', default: '60' } },
})
const wanted = positionals.length > 0 ? positionals : SECTIONS

// Disks differ more than runtimes do.
const directory = mkdtempSync('/dev/shm/caisson-bench-')
process.env.CAISSON_ROOT = path.join(directory, 'root')
// Node reads these certificates at each start, before any script: all of Debian's take 28 ms, which are the machine's own.
delete process.env.NODE_EXTRA_CA_CERTS
try {
  note(`Linux ${release()}, ${cpus().length} x ${cpus()[0].model.trim()}, Node ${process.version}`)
  note(['crun', 'runc', 'bwrap', 'podman', 'dockerd'].map((name) => version(name)).join('; '))
  const rootfs = makeRootfs(directory)
  for (const name of wanted) {
    const { bench } = await import(`./sections/${name}.mjs`)
    await bench({ directory, rootfs, rounds: Number(values.rounds) })
  }
  summary()
} finally {
  rmSync(directory, { recursive: true, force: true })
}
