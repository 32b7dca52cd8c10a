// Runs a command as an ordinary user (scripts/as-user.mjs) below a program of root's, with the variables of this process.
//   as-user.mjs '["PROGRAM", "ARGUMENT"]' COMMAND...
import { spawnAsUser } from '../../scripts/as-user.mjs'

const [around, ...command] = process.argv.slice(2)
const { CAISSON_ROOT, CAISSON_FAULTS, LD_PRELOAD } = process.env
const env = { CAISSON_ROOT, ...(CAISSON_FAULTS ? { CAISSON_FAULTS, LD_PRELOAD } : {}) }
const { status } = spawnAsUser(command, { around: JSON.parse(around), env, stdio: 'inherit' })
process.exit(status ?? 125)
