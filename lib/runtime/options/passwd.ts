/** Users of an image in numbers, for a config.json, which knows no names. At run time the init program looks itself. */

export interface NumericUser {
  uid: number
  gid: number
  additionalGids: number[]
  home: string
}

const ID_MAX = 0x7fffffff

function id(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,10}$/.test(text) && Number(text) <= ID_MAX ? Number(text) : undefined
}

/** `user[:group]` by Docker's rules; an unknown name is taken as root's id, and fails when it is run for real. */
export async function parsePasswdUser(spec: string, read: (file: string) => Promise<string>): Promise<NumericUser> {
  const [name = '', group] = spec.split(':')
  const lines = async (file: string) => (await read(file)).split('\n').map((line) => line.split(':'))
  const wanted = name === '' ? 0 : id(name)
  const entry = (await lines('etc/passwd')).find(([user, , uid, gid]) => {
    if (id(uid) === undefined || id(gid) === undefined) return false
    return wanted === undefined ? user === name : id(uid) === wanted
  })
  const uid = entry ? (id(entry[2]) as number) : (wanted ?? 0)
  let gid = entry ? (id(entry[3]) as number) : 0
  const groups = await lines('etc/group')
  const supplementary = new Set<number>()
  if (group) {
    const number = id(group)
    const found = groups.find(([each, , value]) => (number === undefined ? each === group : id(value) === number))
    gid = found ? (id(found[2]) ?? 0) : (number ?? 0)
  } else if (entry)
    for (const [, , value, members = ''] of groups) {
      const number = id(value)
      if (number !== undefined && members.split(',').includes(entry[0] as string)) supplementary.add(number)
    }
  supplementary.delete(gid)
  return { uid, gid, additionalGids: [gid, ...supplementary], home: entry?.[5]?.startsWith('/') ? entry[5] : '/' }
}
