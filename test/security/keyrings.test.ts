/** Keyrings belong to users, not to namespaces: two containers with the same user would share them. */
import { randomBytes } from 'node:crypto'
import { attack } from '../support/attack.js'

const USER_KEYRING = -4
const SESSION_KEYRING = -3
const SEARCH = 10

const add = (name: string, ring: number) => `print(word(call("add_key", b"user", b"${name}", b"secret", 6, ${ring})))`
const search = (name: string, ring: number) => `print(word(call("keyctl", ${SEARCH}, ${ring}, b"user", b"${name}", 0)))`

describe('keyrings', () => {
  const name = () => `caisson-${randomBytes(6).toString('hex')}`
  const unfiltered = { security: { seccomp: 'unconfined' as const } }

  test('cannot be used at all', async () => {
    expect(await attack(`${add(name(), USER_KEYRING)}\n${search(name(), SESSION_KEYRING)}`)).toEqual(['EPERM', 'EPERM'])
  })

  test('without the filter, that of a user is seen by the next container', async () => {
    const key = name()
    expect(await attack(add(key, USER_KEYRING), unfiltered)).toEqual(['done'])
    expect(await attack(search(key, USER_KEYRING), unfiltered)).toEqual(['done'])
    expect(await attack(search(key, USER_KEYRING))).toEqual(['EPERM'])
    // KEYCTL_CLEAR: it outlives the containers.
    await attack(`call("keyctl", 7, ${USER_KEYRING})\nprint("clear")`, unfiltered)
  })

  test('each container has a session of its own even so', async () => {
    const key = name()
    expect(await attack(add(key, SESSION_KEYRING), unfiltered)).toEqual(['done'])
    expect(await attack(search(key, SESSION_KEYRING), unfiltered)).toEqual(['ENOKEY'])
  })
})
