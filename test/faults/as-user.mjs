// Runs a command as an ordinary user (scripts/as-user.mjs) below a program of root's.
//   as-user.mjs '["PROGRAM", "ARGUMENT"]' COMMAND...
import { spawnAsUser } from '../../scripts/as-user.mjs'

const [around, ...command] = process.argv.slice(2)
const { CAISSON_ROOT } = process.env
const { status } = spawnAsUser(command, { around: JSON.parse(around), env: { CAISSON_ROOT }, stdio: 'inherit' })
process.exit(status ?? 125)
