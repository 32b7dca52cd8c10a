/** What programs print, for a terminal that must not obey them. */

/** `colors`: those may stay. */
export function harmless(text: string, colors = false): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  return text.replace(/\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f]/g, (found) =>
    // biome-ignore lint/suspicious/noControlCharactersInRegex: as above
    colors && /^\x1b\[[0-9;]*m$/.test(found) ? found : '',
  )
}

/** JSON quotes control characters but DEL and those above ASCII, of which U+009B begins what ESC [ does. */
export const harmlessJson = (value: unknown, indent?: number): string =>
  quoted(JSON.stringify(value, undefined, indent))

/** Of JSON, and of YAML that has these in double quotes: they are written with a `\`. */
export function quoted(text: string): string {
  return text.replace(/[\x7f-\x9f]/g, (found) => `\\u00${found.charCodeAt(0).toString(16)}`)
}
