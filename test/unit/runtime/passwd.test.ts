import { parsePasswdUser } from '../../../lib/runtime/options/passwd.js'

const FILES: Record<string, string> = {
  'etc/passwd':
    'root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/srv:/bin/sh\n1000:x:0:0::/evil:/bin/sh\nbroken\nnoid:x:x:y::/:\n',
  'etc/group': 'root:x:0:\napp:x:1001:\nextra:x:1005:other,app\n',
}
const read = async (file: string) => FILES[file] ?? ''

test.each([
  ['', { uid: 0, gid: 0, additionalGids: [0], home: '/root' }],
  ['app', { uid: 1000, gid: 1001, additionalGids: [1001, 1005], home: '/srv' }],
  ['1000', { uid: 1000, gid: 1001, additionalGids: [1001, 1005], home: '/srv' }],
  ['app:extra', { uid: 1000, gid: 1005, additionalGids: [1005], home: '/srv' }],
  ['app:7', { uid: 1000, gid: 7, additionalGids: [7], home: '/srv' }],
  ['4242', { uid: 4242, gid: 0, additionalGids: [0], home: '/' }],
  ['noid', { uid: 0, gid: 0, additionalGids: [0], home: '/' }],
])('%p', async (user, expected) => {
  expect(await parsePasswdUser(user, read)).toEqual(expected)
})
