/** A command line taken apart as a shell does, without any of its other powers. */

/** undefined: a quote does not end. */
export function splitCommand(text: string): string[] | undefined {
  const words: string[] = []
  let word: string | undefined
  for (let at = 0; at < text.length; at++) {
    const character = text[at] as string
    if (/\s/.test(character)) {
      if (word !== undefined) words.push(word)
      word = undefined
    } else if (character === "'") {
      const end = text.indexOf("'", at + 1)
      if (end < 0) return undefined
      word = (word ?? '') + text.slice(at + 1, end)
      at = end
    } else if (character === '"') {
      const match = /^"((?:[^"\\]|\\.)*)"/s.exec(text.slice(at))
      if (!match) return undefined
      word = (word ?? '') + (match[1] as string).replace(/\\([$`"\\\n])/g, (_, c) => (c === '\n' ? '' : c))
      at += match[0].length - 1
    } else if (character === '\\') {
      at++
      if (at >= text.length) return undefined
      word = (word ?? '') + (text[at] === '\n' ? '' : text[at])
    } else word = (word ?? '') + character
  }
  if (word !== undefined) words.push(word)
  return words
}
