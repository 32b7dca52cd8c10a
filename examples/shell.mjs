// An interactive shell in a container: the terminal here, resized as it is resized.
//   node examples/shell.mjs [COMMAND...]
import { Image, run } from 'caisson'

const { stdin, stdout } = process
const command = process.argv.length > 2 ? process.argv.slice(2) : ['sh']
// A terminal may have no size.
const size = { columns: stdout.columns || 80, rows: stdout.rows || 24 }

const shell = run(await Image.host(), command, { tty: size, hostname: 'sandbox', env: { PS1: 'sandbox:$PWD# ' } })
stdin.setRawMode?.(true)
stdin.pipe(shell.stdin)
shell.stdout.pipe(stdout)
stdout.on('resize', () => shell.resize(stdout.columns, stdout.rows))

const { exitCode } = await shell
stdin.setRawMode?.(false)
stdin.unref()
process.exitCode = exitCode ?? 1
