/** Members of a layer as an archive, by whoever can read their bytes. */
import { open } from 'node:fs/promises'
import type { Workspace } from '../workspace.js'
import type { Entry, Member, WrittenArchive } from './entry.js'
import type { Inventory } from './inventory.js'

/** Writes a plain archive to a descriptor. `latest`: times in it are not later, in seconds since 1970. */
export async function writeMembers(
  space: Workspace,
  members: readonly Member[],
  latest: number | undefined,
  fd: number,
): Promise<WrittenArchive> {
  const inventories = new Set(members.flatMap(({ item }) => item?.inventory ?? []))
  const [only] = inventories
  const isAll = inventories.size === 1 && members.every(({ item, kind }) => item || kind === 'directory')
  if (only && isAll) return only.archive(members, latest, fd)
  const read = new Map<Inventory, Entry[]>()
  for (const inventory of inventories) read.set(inventory, await copied(space, inventory, members, latest))
  const all = members.flatMap((member) => {
    const entries = member.item && read.get(member.item.inventory)
    return entries ? takeOf(entries, member) : [member]
  })
  return (await space.files()).ask('pack', { members: all, fd })
}

/** What members from an inventory are, in their order, with their bytes in a file of ours. */
async function copied(
  space: Workspace,
  inventory: Inventory,
  members: readonly Member[],
  latest: number | undefined,
): Promise<Entry[]> {
  const file = await space.path()
  const handle = await open(file, 'wx', 0o600)
  try {
    const own = members.filter(({ item }) => item?.inventory === inventory)
    await inventory.archive(own, latest, handle.fd)
  } finally {
    await handle.close()
  }
  return (await space.files()).ask('index', { file })
}

/** Takes a member and all that belongs to it from the front. */
function takeOf(entries: Entry[], { path, whole }: Member): Entry[] {
  let count = 1
  while (whole && entries[count]?.path.startsWith(`${path}/`)) count++
  return entries.splice(0, count)
}
