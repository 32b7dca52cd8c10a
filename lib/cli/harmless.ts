/** What programs print, for a terminal that must not obey them. */

/** `colors`: those may stay. */
export function harmless(text: string, colors = false): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
  return text.replace(/\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f]/g, (found) =>
    // biome-ignore lint/suspicious/noControlCharactersInRegex: as above
    colors && /^\x1b\[[0-9;]*m$/.test(found) ? found : '',
  )
}
