import fc from 'fast-check'
import { parseMountInfo, unescapeOctal } from '../../../lib/util/mountinfo.js'
import { cases } from '../../support/cases.js'

const LINE = '36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 shared:7 - ext3 /dev/root rw,errors=continue'

test('a line of the manual page', () => {
  expect(parseMountInfo(`${LINE}\n`)).toEqual([
    {
      id: 36,
      parent: 35,
      major: 98,
      minor: 0,
      root: '/mnt1',
      mountpoint: '/mnt 2',
      options: 'rw,noatime',
      optional: ['master:1', 'shared:7'],
      fsType: 'ext3',
      source: '/dev/root',
      superOptions: 'rw,errors=continue',
    },
  ])
})

test('what has no such form is left out', () => {
  expect(parseMountInfo('rubbish\n1 2 x /\n\n36 35 98:0 / /a rw -\n')).toEqual([])
  fc.assert(fc.property(fc.string(), (text) => Array.isArray(parseMountInfo(text))))
})

interface Line {
  name: string
  entry: string
  valid: boolean
  exp?: { Mountpoint: string; FSType: string; Source: string; Optional?: string; VFSOptions?: string }
}

cases('mountinfo', (sets) => {
  const lines = sets.find((set) => set.name === 'lines')
  test.each((lines?.cases ?? []) as Line[])('a line: $name', ({ entry, valid, exp }) => {
    const [found, ...more] = parseMountInfo(entry)
    expect([found !== undefined, more]).toEqual([valid, []])
    if (!exp) return
    const { Mountpoint, FSType, Source, Optional = '', VFSOptions } = exp
    expect(found).toMatchObject({ mountpoint: Mountpoint, fsType: FSType, source: Source })
    expect(found?.optional.join(' ')).toBe(Optional)
    if (VFSOptions) expect(found?.superOptions).toBe(VFSOptions)
  })

  const escapes = sets.find((set) => set.name === 'unescape')
  test.each((escapes?.cases ?? []) as Array<{ input: string; output?: string; error?: unknown }>)(
    'octal escapes of $input',
    ({ input, output }) => {
      if (output !== undefined) expect(unescapeOctal(input)).toBe(output)
    },
  )
})
