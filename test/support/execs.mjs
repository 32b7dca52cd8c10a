// A process that executes one program after the other in a container, for tests that kill it. Prints a line at the third.
import { Container, Image } from 'caisson'

const container = await Container.create(await Image.host(), { command: ['sleep', '1000'] })
await container.start()
for (let i = 1; ; i++) {
  await container.exec(['true'])
  if (i === 3) console.log('busy')
  await new Promise((resolve) => setTimeout(resolve, 20))
}
