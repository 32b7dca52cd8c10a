import { Image, Pool, run } from '../../../lib/index.js'

// Setting a container up may take a minute, and of these programs nobody is told when they are executed.
test('a program may take longer than its setting up', async () => {
  const image = await Image.host()
  await using pool = new Pool(image, { size: 1 })
  await pool.ready()
  const results = await Promise.all([pool.run(['sleep', '61']), run(image, ['sleep', '61'])])
  for (const result of results) expect(result).toMatchObject({ reason: 'exit', exitCode: 0 })
}, 90_000)
