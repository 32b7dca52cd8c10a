// What caisson is for, on real input: programs that nobody should trust, each in a container of its own.
import { Image, run } from 'caisson'

const image = await Image.host()

const hello = await run(image, ['sh', '-c', 'echo "hello from $(hostname), process $$"'])
console.log(hello.stdout.trim())
