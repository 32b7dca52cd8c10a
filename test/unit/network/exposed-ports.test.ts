import { withExposed } from '../../../lib/network/exposed-ports.js'

const IMAGE = { '80/tcp': {}, '53/udp': {}, '8080': {} }

describe('ports that an image exposes', () => {
  it('are published beside those that are given, which come first', () => {
    expect(withExposed({ publishAllPorts: true }, IMAGE)).toEqual([
      { container: 8080, protocol: 'tcp' },
      { container: 80, protocol: 'tcp' },
      { container: 53, protocol: 'udp' },
    ])
    const ports = [{ container: 80, host: 8000 }]
    expect(withExposed({ ports, publishAllPorts: { address: '*' } }, IMAGE)).toEqual([
      { container: 80, host: 8000 },
      { container: 8080, protocol: 'tcp', address: '*' },
      { container: 53, protocol: 'udp', address: '*' },
    ])
    expect(withExposed({ ports }, IMAGE)).toBe(ports)
    expect(withExposed({ ports, publishAllPorts: false }, IMAGE)).toBe(ports)
    expect(withExposed({ publishAllPorts: true })).toEqual([])
  })

  it('say what they are, or it is an error: images are hostile', () => {
    const odd = ['132/sctp', '0/tcp', '65536', '80-90/tcp', 'x', '', '80/tcp\n', '-1', '1e3', '__proto__']
    for (const name of odd) {
      const exposed = Object.fromEntries([[name, {}]])
      expect(() => withExposed({ publishAllPorts: true }, exposed)).toThrow(/^publishAllPorts: the image exposes/)
    }
    const many = Object.fromEntries(Array.from({ length: 1025 }, (_, i) => [`${i + 1}/tcp`, {}]))
    expect(() => withExposed({ publishAllPorts: true }, many)).toThrow(/1025 ports/)
    const wrong = { publishAllPorts: { host: 80 } as object }
    expect(() => withExposed(wrong, IMAGE)).toThrow(/publishAllPorts/)
  })
})
