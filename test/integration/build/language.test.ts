/** The language as it is built: rows of files, a Dockerfile, and what is in the image then, as the reference has it. */
import { type BuildOptions, Image } from '../../../lib/index.js'
import { boxForTests, build, contextOf, failure, inside } from '../../support/build.js'
import { noBusybox, tar } from '../../support/busybox-image.js'
import { testIf } from '../../support/needs.js'

boxForTests()
const withBusybox = testIf(noBusybox)

interface Row {
  what: string
  text: string
  files?: Record<string, string>
  options?: BuildOptions
  /** What a shell is to say in the image. */
  script?: string
  says?: string
  /** Of the image's configuration. */
  config?: object
}

const FILES = {
  'a.txt': 'a',
  'b.txt': 'b',
  'c.md': 'c',
  'x/one.txt': 'one',
  'x/y/two.txt': 'two',
  'x/y/z/three.md': 'three',
  'with space/f[1].txt': 'odd',
  'with space/f1.txt': 'plain',
}
const tree = (at: string) => `cd ${at} && find . -type f | sort`

const ROWS: Row[] = [
  // --- COPY and ADD
  {
    what: 'the contents of directories are copied, not the directories',
    text: 'COPY x /d\nCOPY x/y /d/',
    script: tree('/d'),
    says: './one.txt\n./two.txt\n./y/two.txt\n./y/z/three.md\n./z/three.md\n',
  },
  {
    what: 'wildcards do not cross slashes, and find names that begin with dots only by a dot',
    text: 'COPY *.txt x/*/*.txt /d/',
    files: { ...FILES, '.h.txt': 'hidden' },
    script: tree('/d'),
    says: './.h.txt\n./a.txt\n./b.txt\n./two.txt\n',
  },
  {
    what: 'a wildcard that finds nothing copies nothing',
    text: 'COPY a.txt *.none /d/\nCOPY *.none /e/',
    script: `${tree('/d')}; test -e /e || echo none`,
    says: './a.txt\nnone\n',
  },
  {
    what: 'a bracket is written as a class of itself',
    text: 'COPY ["with space/f[[]1].txt", "/d/"]',
    script: tree('/d'),
    says: './f[1].txt\n',
  },
  {
    what: '--parents keeps directories, from a pivot on',
    text: 'COPY --parents x/y/two.txt x/one.txt /all/\nCOPY --parents x/./y/*.txt /some/\nCOPY --parents x/**/*.md /deep/',
    script: `${tree('/all')}; ${tree('/some')}; ${tree('/deep')}`,
    says: './x/one.txt\n./x/y/two.txt\n./y/two.txt\n./x/y/z/three.md\n',
  },
  {
    what: '--exclude leaves out by patterns of .dockerignore, several times',
    text: 'COPY --exclude=**/*.txt --exclude=c.md . /d/',
    script: tree('/d'),
    says: './x/y/z/three.md\n',
  },
  {
    what: '--chmod takes octal and symbolic modes, --chown names and numbers',
    text: 'COPY --chmod=0640 --chown=app:extra a.txt /d/a\nCOPY --chmod=u=rwX,go=rX --chown=5 x /d/x\nCOPY --chown=:app b.txt /d/b',
    script: 'stat -c "%a %u:%g %n" /d/a /d/x /d/x/one.txt /d/b',
    says: '640 1000:1002 /d/a\n755 5:5 /d/x\n644 5:5 /d/x/one.txt\n644 0:1001 /d/b\n',
  },
  {
    what: '--link makes a layer that looks at nothing below it',
    text: 'RUN ln -s /elsewhere /d\nCOPY --link a.txt /d/',
    script: 'test -L /d || cat /d/a.txt',
    says: 'a',
  },
  {
    what: 'without it links of the stage are followed',
    text: 'RUN mkdir /elsewhere && ln -s /elsewhere /d\nCOPY a.txt /d/',
    script: 'test -L /d && cat /elsewhere/a.txt',
    says: 'a',
  },
  {
    what: 'relative destinations are below WORKDIR, and several files go to a directory',
    text: 'WORKDIR /w\nCOPY a.txt here\nCOPY a.txt b.txt sub/\nCOPY a.txt .',
    script: tree('/w'),
    says: './a.txt\n./here\n./sub/a.txt\n./sub/b.txt\n',
  },
  {
    what: 'a file replaces a file, and directories merge',
    text: 'COPY x /d\nCOPY --chmod=600 a.txt /d/one.txt\nCOPY x/y /d/y',
    script: 'cat /d/one.txt; stat -c %a /d/one.txt; ls /d/y',
    says: 'a600\ntwo.txt\nz\n',
  },
  {
    what: 'sources begin at the context, however they are written',
    text: 'COPY /a.txt ./b.txt ../../c.md /d/',
    script: tree('/d'),
    says: './a.txt\n./b.txt\n./c.md\n',
  },
  {
    what: 'ADD leaves a directory of archives alone, COPY every archive',
    text: 'ADD t /add/\nCOPY t/in.tar /copy/',
    files: { 't/in.tar': tar({ name: 'inner', data: 'inner' }).toString('latin1') },
    script: 'ls /add /copy',
    says: '/add:\nin.tar\n\n/copy:\nin.tar\n',
  },
  {
    what: 'ADD unpacks an archive that it names, unless it is told not to',
    text: 'ADD in.tar /yes/\nADD --unpack=false in.tar /no/',
    files: { 'in.tar': tar({ name: 'inner', data: 'inner' }).toString('latin1') },
    script: 'ls /yes /no',
    says: '/no:\nin.tar\n\n/yes:\ninner\n',
  },
  // --- RUN
  {
    what: 'here-documents: an interpreter, tabs cut off, several, quoted',
    text: `RUN <<EOF
echo one > /r1
echo two >> /r1
EOF
RUN <<-EOF
	echo tabs > /r2
	EOF
RUN <<SCRIPT
#!/bin/cat -n
text of a script
SCRIPT
RUN cat <<A > /r3 && cat <<"B" >> /r3
a
A
$HOME
B
COPY <<"ONE" <<TWO /files/
$HOME
ONE
$PATH
TWO`,
    script: 'cat /r1 /r2 /r3 /files/ONE; grep -c bin /files/TWO',
    says: 'one\ntwo\ntabs\na\n$HOME\n$HOME\n1\n',
  },
  {
    what: 'the exec form uses no shell, SHELL another',
    text: 'RUN ["/bin/sh", "-c", "echo $0 > /exec", "arg0"]\nSHELL ["/bin/sh", "-ec"]\nRUN false || true; echo set $- > /shell',
    script: 'cat /exec; grep -c e /shell',
    says: 'arg0\n1\n',
  },
  {
    what: 'continuations hold comments and empty lines, also with another escape',
    text: '# escape=`\nFROM box:1\nRUN echo one `\n# not part of it\n\n  two > /out',
    script: 'cat /out',
    says: 'one two\n',
  },
  {
    what: 'mounts: bind of a stage and the context, rw, cache with an owner, tmpfs',
    text: `FROM box:1 AS other
RUN mkdir /o && echo other > /o/file
FROM box:1
RUN --mount=from=other,source=/o,target=/m,rw echo more >> /m/file && cat /m/file > /out
RUN --mount=type=bind,target=/ctx,source=x cat /ctx/one.txt >> /out
RUN --mount=type=cache,target=/c,uid=1000,gid=1001,mode=0750 stat -c "%a %u:%g" /c >> /out
RUN --mount=type=tmpfs,target=/t,size=8388608 grep -c " /t tmpfs" /proc/mounts >> /out && cp /bin/busybox /t/true && /t/true`,
    script: 'cat /out; ls -d /m /ctx /c /t 2>&1 | grep -c "No such"',
    says: 'other\nmore\none750 1000:1001\n1\n4\n',
  },
  {
    what: 'a secret as a file with an owner and as a variable, and one that need not be there',
    text: `RUN --mount=type=secret,id=s,uid=1000,gid=1001,mode=0440 stat -c "%a %u:%g" /run/secrets/s > /out && cat /run/secrets/s >> /out
RUN --mount=type=secret,id=s,env=TOKEN test "$TOKEN" = hush && echo env >> /out
RUN --mount=type=secret,id=none,target=/none test ! -e /none && echo none >> /out`,
    options: { secrets: { s: 'hush' } },
    script: 'sed s/hush/HUSH/ /out',
    says: '440 1000:1001\nHUSHenv\nnone\n',
  },
  // --- ARG and ENV
  {
    what: 'ENV: a line sees what was there before it',
    text: 'ENV abc=hello\nENV abc=bye def=$abc\nENV ghi=$abc\nENV old form with  spaces\nENV q="a b" e=a\\ b',
    script: 'echo $def $ghi "$old" "$q" "$e"',
    says: 'hello bye form with  spaces a b a b\n',
  },
  {
    what: 'ARG: global ones reach a stage that asks, ENV goes before them, predefined ones need none',
    text: `ARG G=global
ARG H=h
FROM box:1
RUN echo "[$G]" > /out
ARG G
ARG H=other
ARG L=\${G}-local
RUN echo "[$G][$H][$L]" >> /out
ARG E=arg
ENV E=env
RUN echo "$E [$HTTP_PROXY]" >> /out
ARG TARGETOS TARGETSTAGE
RUN echo "$TARGETOS" >> /out`,
    options: { args: { HTTP_PROXY: 'proxy', E: 'given', L: undefined } },
    script: 'cat /out',
    says: '[]\n[global][other][global-local]\nenv [proxy]\nlinux\n',
  },
  {
    what: 'modifiers of variables',
    text: `ENV v=foo-bar-baz empty=
ENV a=\${v#*-} b=\${v##*-} c=\${v%-*} d=\${v%%-*} e=\${v/-/+} f=\${v//-/+} g=\${none:-x} h=\${empty:-y} i=\${empty-z} j=\${v:+set} k=\\$v l=\${none+no}`,
    script: 'echo $a $b $c $d $e $f $g $h "[$i]" $j $k "[$l]"',
    says: 'bar-baz baz foo-bar foo foo+bar-baz foo+bar+baz x y [] set $v []\n',
  },
  {
    what: 'variables where they count: FROM, COPY, WORKDIR, USER, EXPOSE, VOLUME, LABEL, STOPSIGNAL',
    text: `ARG BASE=box TAG=1
FROM $BASE:\${TAG} AS one
FROM one
ARG N=app
ENV D=/w
WORKDIR $D/$N
COPY \${N:+a}.txt $N.txt
LABEL who="$N" lit='$N'
EXPOSE 80\${EMPTY:-}/tcp 53/udp 100-102
VOLUME $D/v
STOPSIGNAL SIG\${S:-INT}
USER $N`,
    script: 'pwd; ls; id -u',
    says: '/w/app\napp.txt\n1000\n',
    config: {
      Labels: { who: 'app', lit: '$N' },
      StopSignal: 'SIGINT',
      User: 'app',
      ExposedPorts: { '80/tcp': {}, '53/udp': {}, '100/tcp': {}, '101/tcp': {}, '102/tcp': {} },
      Volumes: { '/w/v': {} },
    },
  },
  // --- configuration
  {
    what: 'ENTRYPOINT takes away a CMD from below, and not one of its own stage',
    text: 'FROM box:1 AS base\nCMD ["below"]\nFROM base\nENTRYPOINT ["/bin/echo"]',
    config: { Entrypoint: ['/bin/echo'] },
  },
  {
    what: 'shell forms are wrapped by SHELL',
    text: 'SHELL ["/bin/sh", "-x", "-c"]\nENTRYPOINT echo one\nCMD echo two',
    config: {
      Entrypoint: ['/bin/sh', '-x', '-c', 'echo one'],
      Cmd: ['/bin/sh', '-x', '-c', 'echo two'],
      Shell: ['/bin/sh', '-x', '-c'],
    },
  },
  {
    what: 'HEALTHCHECK with all its flags',
    text: 'HEALTHCHECK --interval=5m --timeout=3s --start-period=1m30s --start-interval=2s --retries=4 CMD ["true"]',
    config: {
      Healthcheck: {
        Test: ['CMD', 'true'],
        Interval: 300e9,
        Timeout: 3e9,
        StartPeriod: 90e9,
        StartInterval: 2e9,
        Retries: 4,
      },
    },
  },
  {
    what: 'HEALTHCHECK NONE takes one away',
    text: 'FROM box:1 AS base\nHEALTHCHECK CMD true\nFROM base\nHEALTHCHECK NONE',
    config: { Healthcheck: { Test: ['NONE'] } },
  },
  {
    what: 'ONBUILD waits for the stage that begins with it',
    text: 'FROM box:1 AS base\nONBUILD RUN echo triggered > /on\nONBUILD ENV later=yes\nFROM base\nRUN cat /on > /seen',
    script: 'cat /seen; echo $later',
    says: 'triggered\nyes\n',
  },
  {
    what: 'WORKDIR adds up, and what is made for it belongs to the user',
    text: 'USER app\nWORKDIR /a\nWORKDIR b\nWORKDIR c/../d',
    script: 'pwd; stat -c %u /a/b/d',
    says: '/a/b/d\n1000\n',
  },
  {
    what: 'stages by number and in any case, and an image in COPY --from',
    text: 'FROM box:1\nRUN echo zero > /z\nFROM box:1 AS Named\nRUN echo named > /n\nFROM scratch AS last\nCOPY --from=0 /z /z\nCOPY --from=named /n /n\nCOPY --from=box:1 /etc/passwd /p\nFROM box:1\nCOPY --from=last / /all/',
    script: 'ls /all',
    says: 'n\np\nz\n',
  },
]

describe('the language', () => {
  for (const { what, text, files = FILES, options, script, says, config } of ROWS)
    withBusybox(what, async () => {
      const context = contextOf(files)
      const { image } = await build(text, { context, ...options })
      if (script !== undefined) expect(await inside(image, script)).toBe(says)
      if (config !== undefined) expect(image.config).toMatchObject(config)
    })
})

const WRONG: Array<[what: string, text: string, message: RegExp, options?: BuildOptions]> = [
  ['a file that is not there', 'COPY a.text /d/', /a\.text.*not found.*a\.txt/],
  ['several files to what is no directory', 'COPY a.txt b.txt /d', /both become \/d/],
  ['a directory over a file', 'COPY a.txt /d\nCOPY x /d', /director/],
  ['a user that the stage does not have', 'COPY --chown=nobody a.txt /d', /nobody/],
  ['a checksum that is not met', 'ADD --checksum=sha256:00 http://127.0.0.1:9/x /d', /checksum/],
  ['a secret that must be there', 'RUN --mount=type=secret,id=none,required=true true', /none/],
  ['an agent that must be there', 'RUN --mount=type=ssh,required true', /ssh|agent/i],
  ['a variable that must have a value', 'ARG V\nENV x=${V:?give one}', /give one/],
  ['a stage that begins with itself', 'FROM a AS a', /a/],
  ['stages that need each other', 'FROM box:1 AS a\nCOPY --from=b /x /x\nFROM box:1 AS b\nCOPY --from=a /x /x', /b/],
  ['a stage number that is not there', 'COPY --from=7 /x /x', /7/],
  ['a stage that is misspelt', 'FROM box:1 AS build\nFROM box:1\nCOPY --from=biuld /x /x', /biuld.*did you mean build/],
  ['a stage that is misspelt in FROM', 'FROM box:1 AS build\nFROM buidl', /buidl.*did you mean build/],
  [
    'a stage that is misspelt in a mount',
    'FROM box:1 AS build\nFROM box:1\nRUN --mount=from=bulid,target=/x true',
    /did you mean build/,
  ],
  ['a target that is not there', 'FROM box:1 AS here', /nowhere/, { target: 'nowhere' }],
  ['an ONBUILD of ONBUILD', 'ONBUILD ONBUILD RUN true', /ONBUILD/],
  ['an ONBUILD of FROM', 'ONBUILD FROM box:1', /FROM/],
  ['a port that is none', 'EXPOSE http', /http/],
  ['a signal that is none', 'STOPSIGNAL SIGNONE', /SIGNONE/],
  ['a mode that is none', 'COPY --chmod=u+? a.txt /d', /chmod|u\+\?/],
  ['a flag that the instruction does not have', 'WORKDIR --link /d', /link/],
  ['an instruction before FROM', 'RUN true\nFROM box:1', /no build stage/],
  ['a here-document without an end', 'RUN <<EOF\necho', /EOF/],
  ['a JSON array that SHELL must have', 'SHELL /bin/sh -c', /JSON/],
  ['a mount of a type that nobody knows', 'RUN --mount=type=magic,target=/x true', /magic/],
  ['a HEALTHCHECK without a command', 'HEALTHCHECK --interval=1s', /HEALTHCHECK/],
  ['an unknown escape character', '# escape=x\nFROM box:1', /escape/],
]

describe('an error of the language', () => {
  for (const [what, text, message, options] of WRONG)
    withBusybox(`says what is wrong: ${what}`, async () => {
      const whole = /^(FROM|#|RUN true\nFROM)/.test(text) ? text : `FROM box:1\n${text}`
      const context = contextOf(FILES)
      const error = await failure(
        Image.build({ dockerfile: { text: whole }, context, network: 'none', pull: 'never', ...options }),
      )
      expect(error.code).toMatch(/^ERR_CAISSON_/)
      expect(error.message).toMatch(message)
    })
})
