/** A CA and certificates of it, made by openssl. */
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import path from 'node:path'

export interface Pair {
  certificate: string
  key: string
}

const openssl = (...args: string[]) => execFileSync('openssl', args, { stdio: 'ignore' })
const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']

export function makeAuthority(directory: string, name = 'ca'): Pair {
  const pair = { certificate: path.join(directory, `${name}.crt`), key: path.join(directory, `${name}.key`) }
  openssl(
    'req',
    '-x509',
    ...NEW_KEY,
    '-keyout',
    pair.key,
    '-out',
    pair.certificate,
    '-days',
    '2',
    '-subj',
    `/CN=${name}`,
  )
  return pair
}

/** For names such as `DNS:localhost,IP:127.0.0.1`. */
export function makeCertificate(directory: string, name: string, names: string, authority: Pair): Pair {
  const pair = { certificate: path.join(directory, `${name}.crt`), key: path.join(directory, `${name}.key`) }
  const request = path.join(directory, `${name}.csr`)
  const extensions = path.join(directory, `${name}.ext`)
  writeFileSync(extensions, `subjectAltName=${names}\n`)
  openssl('req', ...NEW_KEY, '-keyout', pair.key, '-out', request, '-subj', `/CN=${name}`)
  const { certificate, key } = authority
  openssl(
    ...['x509', '-req', '-in', request, '-CA', certificate, '-CAkey', key, '-CAcreateserial'],
    ...['-days', '2', '-extfile', extensions, '-out', pair.certificate],
  )
  return pair
}
