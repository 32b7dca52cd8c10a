// Builds an image by SOURCE_DATE_EPOCH upon the one of an archive from the standard input, and prints its digest and CAISSON_ROOT.
//   build-same; CAISSON_ROOT is a store of its own
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { Image } from '../../dist/index.js'

const TEXT = `FROM box:1 AS make
WORKDIR /place
COPY d d
COPY --chown=5:6 d/file /owned
RUN --mount=type=secret,id=s --mount=type=cache,target=/c echo made > made && mkdir -p sub/deep && ln -s made link && \\
    ln made hard && chmod 4755 made && rm /etc/group && mv /etc/passwd /etc/moved && echo x > /c/x
RUN for i in 1 2 3 4 5 6 7 8 9; do echo $i > sub/$i; done
FROM box:1
COPY --from=make --chown=app:app /place /again
COPY --from=make /etc /etc
RUN --mount=from=make,target=/m echo "$SOURCE_DATE_EPOCH" > /last
`

const context = mkdtempSync(path.join(tmpdir(), 'caisson-same-'))
mkdirSync(path.join(context, 'd/below'), { recursive: true, mode: 0o755 })
for (const name of ['d/file', 'd/below/file']) writeFileSync(path.join(context, name), name, { mode: 0o644 })
await Image.load(process.stdin)
const image = await Image.build({
  context,
  dockerfile: { text: TEXT },
  network: 'none',
  args: { SOURCE_DATE_EPOCH: '1700000000' },
  secrets: { s: 'secret' },
})
rmSync(context, { recursive: true })
console.log(image.digest, process.env.CAISSON_ROOT)
