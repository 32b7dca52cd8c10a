import { fileError } from '../../../lib/build/files/failure.js'

test.each(['ENOSPC', 'EDQUOT'])('%s is a disk that is full, with advice', (code) => {
  const error = fileError({ message: code, path: '/a', code, syscall: 'write', errno: -28 })
  expect(error).toMatchObject({
    code: 'ERR_CAISSON_RESOURCE_EXHAUSTED',
    hint: expect.stringContaining('free space'),
    cause: { code, syscall: 'write', path: '/a' },
  })
})
