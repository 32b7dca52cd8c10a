/** `caisson run` beside `docker run`: the same flags, the same image; the same output and exit code. */
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { cgroupHost } from '../../../lib/cgroup/host.js'
import { busyboxImage, noBusybox } from '../../support/busybox-image.js'
import { type Dockerd, noDocker, startDockerd } from '../../support/dockerd.js'
import { testIf } from '../../support/needs.js'
import { storeImage } from '../../support/store-images.js'
import { removeScratch, scratch } from '../../support/tree.js'

const root = scratch()
process.env.CAISSON_ROOT = path.join(root, 'caisson')
const missing = noBusybox || noDocker
const cli = path.resolve('dist/cli.cjs')
const legacy = cgroupHost().legacy.some(({ controllers }) => controllers.includes('memory'))

let dockerd: Dockerd

function outcome(command: string, args: string[]) {
  const { status, stdout } = spawnSync(command, args, { input: 'typed\n', encoding: 'utf8', env: process.env })
  return { status, stdout }
}

const REFERENCE = 'localhost/box:1'

/** Of both. The network is one that dockerd has here. */
function both(flags: string[], command: string[]) {
  const args = ['run', '--rm', '--network', 'none', ...flags, REFERENCE, ...command]
  return {
    docker: outcome('docker', ['-H', `unix://${root}/docker/socket`, ...args]),
    // As npm's link starts it: Node itself would read an --env-file.
    caisson: outcome('/bin/sh', [cli, ...args]),
  }
}

beforeAll(async () => {
  if (missing) return
  const { Image } = await import('../../../lib/index.js')
  const { imageRoots } = await import('../../../lib/runtime/image/roots.js')
  await storeImage((await imageRoots()).store, busyboxImage({ Env: ['OF=image'] }), REFERENCE)
  const archive = path.join(root, 'box.tar')
  await (await Image.get(REFERENCE)).save(archive, { format: 'docker' })
  dockerd = await startDockerd(path.join(root, 'docker'))
  await dockerd.docker('load', '-i', archive)
  writeFileSync(path.join(root, 'env'), '# comment\nA=file\n  B="quoted"\nOF\n')
  writeFileSync(path.join(root, 'file'), 'bound\n')
}, 60_000)
afterAll(async () => {
  await dockerd?.[Symbol.asyncDispose]()
  removeScratch()
})

const sh = (script: string) => ['sh', '-c', script]
const words = (text: string) => text.split(' ').filter(Boolean)
const STREAMS = sh('echo out; echo err >&2; cat; exit 4')

const SAME: Array<[flags: string, command: string[]]> = [
  ['', STREAMS],
  ['-i', STREAMS],
  ['-a stdout', STREAMS],
  ['-a STDERR', STREAMS],
  ['-i -a stdin -a stdout', STREAMS],
  ['-i --sig-proxy=false', sh('cat; kill -9 $$; exit 3')],
  [`--env-file ${root}/env -e A=flag -e C`, sh('echo $A $B $C $OF')],
  ['-u 7:8 --group-add 9 --group-add extra', ['id']],
  ['-u app', sh('id; pwd; echo $HOME')],
  ['-w /made/for/it -h box --domainname example.test', sh('pwd; hostname; cat /proc/sys/kernel/domainname')],
  ['--entrypoint echo', ['a', 'b']],
  ['--entrypoint=', ['echo', 'plain']],
  ['--add-host there:10.1.2.3', sh('grep there /etc/hosts')],
  ['--ulimit nofile=99:100 --ulimit core=0', sh('ulimit -n; ulimit -Hn; ulimit -c')],
  ['--tmpfs /t:size=1m,mode=0750', sh('stat -c "%a %u" /t; grep " /t " /proc/mounts | cut -d" " -f3')],
  ['--mount type=tmpfs,target=/t,tmpfs-mode=0700', sh('stat -c %a /t')],
  [`--mount type=bind,source=${root}/file,target=/f,readonly`, sh('cat /f; echo x >/f || echo no')],
  [`-v ${root}/file:/f:ro`, sh('cat /f; echo x >/f || echo no')],
  ['--read-only --tmpfs /w', sh('touch /x || echo no; touch /w/x && echo yes')],
  ['--cap-drop ALL --cap-add CHOWN', sh('grep -E "Cap(Bnd|Eff)" /proc/self/status')],
  ['', sh('grep CapBnd /proc/self/status')],
  [
    '--oom-score-adj 500 --sysctl net.core.somaxconn=77',
    sh('cat /proc/self/oom_score_adj /proc/sys/net/core/somaxconn'),
  ],
  ['--shm-size 2m', sh('df -k /dev/shm | tail -1 | tr -s " " | cut -d" " -f2')],
  ['--memory 64m --memory-reservation 32m --cpuset-cpus 0 --cpuset-mems 0', sh('nproc')],
  ['--health-cmd true --health-interval 1s --health-retries 2 --health-timeout 1s', ['echo', 'well']],
  ['--no-healthcheck --stop-signal INT --stop-timeout 3 --label a=b', ['echo', 'plain']],
  ['--log-driver none --pids-limit 50 --name same', ['echo', 'plain']],
  ['', ['nonexistent']],
  ['', ['/etc']],
  // What both refuse.
  ['-a output', ['true']],
  ['--no-healthcheck --health-cmd true', ['true']],
  ['--health-cmd true --health-interval 5', ['true']],
  ['--health-cmd true --health-retries -1', ['true']],
  ['--memory 64m --memory-reservation 65m', ['true']],
  ['--memory-swappiness 101', ['true']],
  ['--blkio-weight-device /dev/null:5', ['true']],
  [`--cidfile ${root}/file`, ['true']],
  [`--env-file ${root}/none`, ['true']],
  ['--ulimit nofile=9:8', ['true']],
  ['--restart sometimes', ['true']],
  ['--nonsense', ['true']],
]

for (const [flags, command] of SAME)
  testIf(missing)(`docker run ${flags.replaceAll(root, '')}: ${JSON.stringify(command)}`, async () => {
    const { docker, caisson } = both(words(flags), command)
    expect(caisson).toEqual(docker)
  })

testIf(missing || (!legacy && 'for cgroup v1'))('limits are the same numbers in the same files', async () => {
  const flags = '--memory 64m --memory-reservation 32m --memory-swappiness 7 --cpuset-mems 0'
  const files = ['limit_in_bytes', 'soft_limit_in_bytes', 'swappiness'].map((name) => `memory/memory.${name}`)
  const { docker, caisson } = both(words(flags), sh(`cd /sys/fs/cgroup; cat ${files.join(' ')}`))
  expect(docker).toEqual({ status: 0, stdout: '67108864\n33554432\n7\n' })
  expect(caisson).toEqual(docker)
})
