/** TLS of a server: clients have to bring a certificate of an authority that it knows. */
import { X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'
import type { SecureContextOptions, TlsOptions } from 'node:tls'
import { CaissonError, invalidArgument } from '../errors.js'
import type { KnownHost } from './guard.js'

/** All in PEM. */
export interface Certificates {
  key: string | Uint8Array
  certificate: string | Uint8Array
  /** Of the clients that may connect. */
  authority: string | Uint8Array
}

export function secureOptions(tls: Certificates): TlsOptions & SecureContextOptions {
  for (const name of ['key', 'certificate', 'authority'] as const) {
    const value: unknown = tls[name]
    if (value === undefined && name === 'authority')
      throw new CaissonError('ERR_CAISSON_INVALID_ARGUMENT', 'tls.authority: without one every client may connect', {
        stage: 'serve',
        hint: 'Give the certificate of the authority that has signed those of your clients (dockerd --tlscacert).',
      })
    if (typeof value !== 'string' && !(value instanceof Uint8Array)) throw invalidArgument(`tls.${name}`, value, 'PEM')
  }
  const { key, certificate, authority } = tls
  return {
    key: Buffer.from(key),
    cert: Buffer.from(certificate),
    ca: Buffer.from(authority),
    requestCert: true,
    rejectUnauthorized: true,
    minVersion: 'TLSv1.2',
  }
}

/** An address, which no name of a stranger can lead to; `localhost`; and the names in the certificate. */
export function knownHosts(host: string, tls: Certificates | false): KnownHost {
  const certificate = tls ? new X509Certificate(Buffer.from(tls.certificate)) : undefined
  return (name) =>
    isIP(name) !== 0 || name === 'localhost' || name === host || certificate?.checkHost(name) !== undefined
}
