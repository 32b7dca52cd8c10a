// One run, then an ordinary end.
import { Image, run } from 'caisson'

const result = await run(await Image.host(), ['echo', 'hello'])
console.log(result.stdout.trim())
