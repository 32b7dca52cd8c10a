/** Identifiers. */
import { randomBytes, randomFillSync } from 'node:crypto'

const ID_BYTES = 32
/** Random bytes for many ids: one call of the generator costs as much for all of them as for one. */
const stock = Buffer.alloc(64 * ID_BYTES)
let used = stock.length

/** 64 hexadecimal digits, as Docker's container ids. */
export function newId(): string {
  if (used === stock.length) {
    randomFillSync(stock)
    used = 0
  }
  used += ID_BYTES
  return stock.toString('hex', used - ID_BYTES, used)
}

const ADJECTIVES =
  'amber brave calm deft eager fair glad hale keen lively merry nimble open plain quick ready sound true vivid warm'
const NOUNS =
  'anchor barge beacon buoy canal crane dock ferry harbour jetty lantern lock mast pier quay rudder sail tide wharf winch'

/** A name for a container that was given none, as `calm_ferry`. */
export function randomName(): string {
  const pick = (words: string) => {
    const list = words.split(' ')
    return list[randomBytes(2).readUInt16LE() % list.length] as string
  }
  return `${pick(ADJECTIVES)}_${pick(NOUNS)}`
}
