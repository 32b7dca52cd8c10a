/** `caisson compose down`, `stop`, `start` and `restart`: of a project that is up, in whichever process. */
import { type Subcommand, servicesIn, timeoutOf } from './compose-command.js'
import { boolean, text } from './flags.js'

const TIMEOUT = text('timeout', 'Seconds until containers are killed', 'seconds', 't')

export const downCommand: Subcommand = {
  summary: 'Stop and remove containers and networks, in whichever process they are',
  usage: 'down [FLAGS]',
  flags: [
    TIMEOUT,
    boolean('remove-orphans', 'As without: no other containers are of a project'),
    boolean('volumes', 'Remove named volumes, too', 'v'),
  ],
  async run(project, flags) {
    await project.down({ volumes: flags.boolean('volumes'), timeout: timeoutOf(flags) })
    return 0
  },
}

export const stopCommand: Subcommand = {
  summary: 'Stop containers, which stay to be started again',
  usage: 'stop [FLAGS] [SERVICE...]',
  flags: [TIMEOUT],
  async run(project, flags, words) {
    await project.stop({ services: servicesIn(project, words), timeout: timeoutOf(flags) })
    return 0
  },
}

export const startCommand: Subcommand = {
  summary: 'Start containers that were stopped',
  usage: 'start [SERVICE...]',
  flags: [],
  async run(project, _flags, words) {
    await project.start({ services: servicesIn(project, words) })
    return 0
  },
}

export const restartCommand: Subcommand = {
  summary: 'Stop and start containers',
  usage: 'restart [FLAGS] [SERVICE...]',
  flags: [TIMEOUT],
  async run(project, flags, words) {
    await project.restart({ services: servicesIn(project, words), timeout: timeoutOf(flags) })
    return 0
  },
}
