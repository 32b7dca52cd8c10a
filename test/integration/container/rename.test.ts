import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import path from 'node:path'
import { Container, Image } from '../../../lib/index.js'
import { roots } from '../../../lib/util/roots.js'

describe('a name of a container', () => {
  let image: Image
  beforeAll(async () => {
    image = await Image.host()
  })

  const sleeper = (name: string) => Container.create(image, { name, command: ['sleep', '1000'] })
  const reserved = () => readdirSync(path.join(roots().run, 'names')).filter((name) => name.startsWith('renamed-'))

  test('is another one from now on, before it runs, while it runs and after that', async () => {
    await using container = await sleeper('renamed-1')
    await container.rename('renamed-2')
    await container.start()
    const told = once(container, 'rename')
    await container.rename('renamed-3')
    expect(await told).toEqual(['renamed-3', 'renamed-2'])
    await container.stop({ timeout: 0 })
    await container.rename('renamed-4')
    expect(container.name).toBe('renamed-4')
    expect(container.inspect().name).toBe('renamed-4')
    expect(await Container.get('renamed-4')).toBe(container)
    expect((await Container.list({ name: 'renamed-4' })).map(({ id }) => id)).toEqual([container.id])
    expect(reserved()).toEqual(['renamed-4'])
    // Of the others each can be had.
    await using other = await sleeper('renamed-1')
    expect((await Container.get('renamed-1')).id).toBe(other.id)
    await container.remove()
    expect(reserved()).toEqual(['renamed-1'])
  })

  test('stays what it was when the new one is none, or is taken', async () => {
    await using container = await sleeper('renamed-1')
    await using _ = await sleeper('renamed-2')
    const taken = { code: 'ERR_CAISSON_NAME_IN_USE' }
    await expect(container.rename('renamed-2')).rejects.toMatchObject(taken)
    await expect(container.rename('renamed-1')).rejects.toMatchObject(taken)
    for (const name of ['', '../x', '-x', 'a/b', 'x'.repeat(129), 'a\0', undefined, {}])
      await expect(container.rename(name as string)).rejects.toMatchObject({ code: 'ERR_CAISSON_INVALID_ARGUMENT' })
    await expect(container.rename('renamed-3', { signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 'ERR_CAISSON_ABORTED',
    })
    expect(container.name).toBe('renamed-1')
    expect(reserved()).toEqual(['renamed-1', 'renamed-2'])
  })

  test('is one of those that it is given at once, and none is kept of one that is removed meanwhile', async () => {
    const container = await sleeper('renamed-1')
    await Promise.all(['renamed-2', 'renamed-3', 'renamed-4'].map((name) => container.rename(name)))
    expect(container.name).toBe('renamed-4')
    const late = [container.rename('renamed-5'), container.rename('renamed-6')]
    const removed = container.remove()
    const [, last] = await Promise.allSettled(late)
    expect(last).toMatchObject({ status: 'rejected', reason: { code: 'ERR_CAISSON_INVALID_STATE' } })
    await removed
    await expect(container.rename('renamed-7')).rejects.toMatchObject({ code: 'ERR_CAISSON_INVALID_STATE' })
    expect(reserved()).toEqual([])
  })
})
