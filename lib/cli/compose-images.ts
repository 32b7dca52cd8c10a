/** `caisson compose pull` and `build`: the images of services, without starting any. */
import { buildProgress, QUIET as QUIET_BUILD } from './build-progress.js'
import { type Subcommand, servicesIn } from './compose-command.js'
import { boolean, list, text } from './flags.js'
import { showProgress } from './progress.js'
import { setVariables } from './values.js'

const QUIET = boolean('quiet', 'Print no progress', 'q')

export const pullCommand: Subcommand = {
  summary: 'Fetch the images of services that are not built',
  usage: 'pull [FLAGS] [SERVICE...]',
  flags: [QUIET],
  async run(project, flags, words) {
    const progress = showProgress(process.stderr, flags.boolean('quiet') ?? false)
    try {
      await project.pull({ services: servicesIn(project, words), onProgress: progress.tell })
    } finally {
      progress.end()
    }
    return 0
  },
}

export const buildCommand: Subcommand = {
  summary: 'Build the images of services',
  usage: 'build [FLAGS] [SERVICE...]',
  flags: [
    list('build-arg', 'Value of an ARG; without a value that of this environment', 'name=value'),
    boolean('no-cache', 'Do every step anew'),
    text('progress', 'auto, plain, tty or json'),
    boolean('pull', 'Ask registries for what images are based on'),
    QUIET,
  ],
  async run(project, flags, words) {
    const progress = flags.boolean('quiet') ? QUIET_BUILD : buildProgress(process.stderr, flags.text('progress'))
    try {
      await project.build({
        args: setVariables(flags.list('build-arg')),
        services: servicesIn(project, words),
        noCache: flags.boolean('no-cache'),
        pull: flags.boolean('pull'),
        onProgress: progress.tell,
      })
    } finally {
      progress.end()
    }
    return 0
  },
}
