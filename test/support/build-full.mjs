// Builds on a disk that is too small, and prints what became of it.
//   build-full CONTEXT ROOTFS; CAISSON_ROOT is the disk
import { Image, verifyStore } from '../../dist/index.js'

const [context, rootfs] = process.argv.slice(2)
const outcome = (work) =>
  work.then(
    () => 'built',
    ({ code, hint }) => `${code} ${/disk is full/.test(hint)}`,
  )
await (await Image.fromRootfs(rootfs, { Cmd: ['/bin/sh'] })).tag('box')
const build = (text) => outcome(Image.build({ context, dockerfile: { text: `FROM box\n${text}` }, network: 'none' }))
const results = {
  copy: await build('COPY large /'),
  command: await build('RUN cat /bin/busybox /bin/busybox /bin/busybox /bin/busybox /bin/busybox /bin/busybox > /x'),
  small: await build('RUN echo small > /small'),
  verified: (await verifyStore()).ok,
}
console.log(JSON.stringify(results))
