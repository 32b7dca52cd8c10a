/** The configuration that a caller gives an image: what Docker and OCI call it, and nothing that only looks like it. */
import { CaissonError } from '../../errors.js'
import type { ImageConfig } from '../../spec/image.js'
import { readConfig } from '../../spec/image-config.js'
import { isObject, type Kind, object, text, texts } from './kinds.js'

const KINDS: Record<keyof Required<ImageConfig>, Kind> = {
  User: text,
  ExposedPorts: object,
  Env: texts,
  Entrypoint: texts,
  Cmd: texts,
  Volumes: object,
  WorkingDir: text,
  Labels: object,
  StopSignal: text,
  Healthcheck: object,
  Shell: texts,
  OnBuild: texts,
}

/** Other names are let be: configurations of Docker have more, which mean nothing to us. */
export function checkImageConfig(config: ImageConfig): void {
  object(config, 'config')
  if (!isObject(config)) return
  for (const [name, value] of Object.entries(config)) {
    const known = Object.keys(KINDS).find((each) => each.toLowerCase() === name.toLowerCase())
    if (known === undefined || value === undefined || value === null) continue
    if (known !== name)
      throw new CaissonError('ERR_CAISSON_INVALID_ARGUMENT', `there is no option config.${name}`, {
        stage: 'options',
        hint: `It is written config.${known}.`,
      })
    KINDS[known as keyof ImageConfig](value, `config.${name}`)
  }
  checkValues(config)
}

/** By the rules for those that come with images. */
function checkValues(config: ImageConfig): void {
  try {
    readConfig({ ...config })
  } catch (error) {
    throw new CaissonError('ERR_CAISSON_INVALID_ARGUMENT', (error as CaissonError).message, {
      stage: 'options',
      hint: 'Write it as the config of an image: { Cmd: [...], Env: ["NAME=value"], User: "..." }.',
    })
  }
}
