import { Image, run } from '../../../lib/index.js'

describe('run', () => {
  let image: Image
  beforeAll(async () => {
    image = await Image.host()
  })

  test('gives what the program printed and how it ended', async () => {
    const result = await run(image, ['sh', '-c', 'echo out; echo err >&2; exit 3'])
    expect(result).toMatchObject({ stdout: 'out\n', stderr: 'err\n', exitCode: 3, signal: null, reason: 'exit' })
  })
})
